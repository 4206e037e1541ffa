//! What a group tells of itself.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::schema::TableKind;
use crate::engine::Options;

fn member(table: u32) -> Member {
    Member {
        digest: Digest::default(),
        notes: Notes::default(),
        tables: Tables::These(BTreeSet::from([table])),
        schema: Arc::default(),
        is_only_here: false,
        acknowledged: Box::pin(std::future::pending()),
        ended: Box::new(|_| ()),
    }
}

#[tokio::test]
async fn what_a_group_has_changed_concerns_readers_while_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&Options {
        path: folder.path().join("site.db"),
        site: 1,
        sites_max: 4,
        default_kind: TableKind::Strong,
    })
    .unwrap();
    let group = Arc::new(Group::new());
    let [one, two, other] = [1, 2, 3].map(|table| Read::These(BTreeSet::from([table])));
    assert!(group.is_empty() && !group.concerns(&one) && !group.concerns(&Read::Any));
    let _joined = [1, 2].map(|table| group.add(&database, member(table)));
    let concerned = || [&one, &two, &other, &Read::Any].map(|read| group.concerns(read));
    assert_eq!(concerned(), [true, true, false, true]);
    // Its commit is under way, and is not to be read yet.
    let (seats, _) = group.take();
    assert_eq!(seats.len(), 2);
    assert_eq!(concerned(), [true, true, false, true]);
}
