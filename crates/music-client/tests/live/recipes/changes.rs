//! What changes a state and holds nothing: its node killed again and again, its
//! site cut off, two nodes asked at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use music_client::recipes::{Counter, Latch, Once, Register};
use music_client::{Error, Outcome};
use tokio::sync::Notify;

use crate::sites::{Sites, soon};

/// How many changes are made between two deaths.
const BETWEEN: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_whose_nodes_are_killed_counts_what_it_says() {
    let sites = Sites::start().await;
    let (made, moved) = (AtomicUsize::new(0), Notify::new());
    let adders = [[0, 1, 2], [1, 2, 0], [2, 0, 1]].map(|nodes| {
        let counter = Counter::new(&sites.client(&nodes), "c").unwrap();
        let (made, moved) = (&made, &moved);
        async move {
            let (mut sure, mut perhaps) = (0, 0);
            for _ in 0..12 {
                match counter.add(1).await {
                    Ok(_) => sure += 1,
                    Err(error) if error.outcome() == Outcome::NotApplied => {}
                    Err(_) => perhaps += 1,
                }
                made.fetch_add(1, Ordering::SeqCst);
                moved.notify_one();
            }
            (sure, perhaps)
        }
    });
    let kills = async {
        for (death, node) in sites.nodes.iter().enumerate() {
            while made.load(Ordering::SeqCst) < (death + 1) * BETWEEN {
                moved.notified().await;
            }
            sites.deployment().kill(node).await.unwrap();
            tokio::task::yield_now().await;
            sites.deployment().start_node(node).await.unwrap();
        }
    };
    let (counts, ()) = soon(async { tokio::join!(join_all(adders), kills) }).await;
    let counter = Counter::new(&sites.client(&[0, 1, 2]), "c").unwrap();
    let sure: i64 = counts.iter().map(|(sure, _)| sure).sum();
    let perhaps: i64 = counts.iter().map(|(_, perhaps)| perhaps).sum();
    let number = soon(counter.get()).await.unwrap();
    assert!(
        (sure..=sure + perhaps).contains(&number),
        "{number}: {sure} + {perhaps}"
    );
    assert!(sure > 0);
}

#[tokio::test]
async fn a_site_that_is_cut_off_changes_nothing_and_says_so() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| sites.client(&[site]));
    soon(Counter::new(&there, "c").unwrap().add(1))
        .await
        .unwrap();
    soon(Register::new(&there, "r").unwrap().set("one"))
        .await
        .unwrap();
    soon(Latch::new(&there, "l", 2).unwrap().count_down())
        .await
        .unwrap();
    sites
        .deployment()
        .set_site_cut(&sites.names[0], true)
        .unwrap();
    let refused = soon(async {
        let counter = Counter::new(&here, "c").unwrap();
        let register = Register::new(&here, "r").unwrap();
        let latch = Latch::new(&here, "l", 2).unwrap();
        let once = Once::new(&here, "o").unwrap();
        let (one, two, three, four) = tokio::join!(
            counter.add(1),
            register.set("two"),
            latch.count_down(),
            once.run(async |_| Ok::<u64, ()>(1)),
        );
        [
            one.map(drop),
            two.map(drop),
            three.map(drop),
            four.map(drop),
        ]
    })
    .await;
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        assert!(
            matches!(error, Error::Unavailable { .. } | Error::Problem(_)),
            "{error:?}"
        );
    }
    // The others go on, and so does the site when it is back.
    assert_eq!(
        soon(Counter::new(&there, "c").unwrap().add(1))
            .await
            .unwrap(),
        1
    );
    sites
        .deployment()
        .set_site_cut(&sites.names[0], false)
        .unwrap();
    let counter = Counter::new(&here, "c").unwrap();
    while soon(counter.get()).await.ok() != Some(2) {}
    assert_eq!(
        soon(Register::new(&here, "r").unwrap().get())
            .await
            .unwrap()
            .0,
        1
    );
    assert_eq!(
        soon(Latch::new(&here, "l", 2).unwrap().left())
            .await
            .unwrap(),
        1
    );
}

/// Each request goes to two nodes that both answer: one client's two clones.
#[tokio::test]
async fn two_nodes_that_answer_at_once_make_two_changes_in_some_order() {
    let sites = Sites::start().await;
    let registers = [0, 1].map(|site| Register::new(&sites.client(&[site]), "r").unwrap());
    for version in 0..5 {
        let sets = registers
            .iter()
            .map(|register| register.compare_and_set(version, "x"));
        let ends = soon(join_all(sets)).await;
        let won = ends.iter().filter(|end| matches!(end, Ok(Ok(_)))).count();
        assert_eq!(won, 1, "{ends:?}");
    }
}
