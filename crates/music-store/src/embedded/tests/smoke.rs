use std::time::Duration;

use bytes::Bytes;
use music_core::id::{Field, Key, Moves, RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, Mode, NewTicket, Outcome};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::{Lease, WallTime};

use crate::embedded::{Engine, Options, Place, Profile};
use crate::{Level, LockStore, StateStore, TableMode, TableName};

#[tokio::test]
async fn both_ports_work() {
    let directory = tempfile::tempdir().unwrap();
    for place in [Place::Memory, Place::Directory(directory.path().to_owned())] {
        let profile = Profile::uniform(3, Duration::from_millis(2)).unwrap();
        let engine = Engine::open(&place, &profile, Options::default()).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| engine.site(name).unwrap());
        let name = TableName::new("t").unwrap();
        let table = a.create_table(&name, TableMode::Eventual).await.unwrap();
        let id = RecordId {
            table: table.id,
            key: Key::new("k").unwrap(),
        };
        let write = |time, value: &'static str| {
            let stamp = Stamp::eventual(WallTime(time));
            Record::write(stamp, [(Field::DEFAULT, Some(Bytes::from(value)))])
        };
        a.write(&id, write(1, "x"), Level::Majority).await.unwrap();
        let read = b.read(&id, Level::Majority).await.unwrap();
        assert_eq!(read.value(&Field::DEFAULT), Some(&Bytes::from("x")));
        c.write(&id, write(2, "y"), Level::Local).await.unwrap();
        engine.settled().await;
        for site in [&a, &b, &c] {
            let read = site.read(&id, Level::Local).await.unwrap();
            assert_eq!(read.value(&Field::DEFAULT), Some(&Bytes::from("y")));
            assert_eq!(
                engine.digest(site.name()).unwrap(),
                engine.digest("a").unwrap()
            );
        }
        for (number, site) in [&a, &b, &c].into_iter().enumerate() {
            let ticket = NewTicket {
                owner: SessionId(1),
                mode: Mode::Exclusive,
                lease: Lease::MIN,
                request: RequestId(u128::try_from(number).unwrap()),
                moves: Moves::default(),
            };
            let applied = site.apply(&id, Command::Enqueue(ticket)).await.unwrap();
            let Outcome::Done(holding) = applied.outcome else {
                panic!()
            };
            assert_eq!(holding.lock_ref.get(), u64::try_from(number).unwrap() + 1);
            a.release(&id, holding).await.unwrap();
            assert_eq!(b.peek(&id).await.unwrap().tickets().count(), 0);
        }
        engine.close().await;
    }
}
