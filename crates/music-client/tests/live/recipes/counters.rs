//! Counter, register, latch.

use futures_util::future::join_all;
use music_client::recipes::{Counter, Latch, Refusal, Register};
use music_client::{Content, Error, Outcome};

use super::killing::killed_everywhere;
use crate::proxy::Proxy;
use crate::sites::{Sites, client, soon};

#[tokio::test]
async fn a_counter_counts_each_change_once() {
    let sites = Sites::start().await;
    let counters = [0, 1, 2].map(|site| Counter::new(&sites.client(&[site]), "c").unwrap());
    assert_eq!(soon(counters[0].get()).await.unwrap(), 0);
    let adds = (0..12).map(|number| counters[number % 3].add(1));
    let mut before: Vec<i64> = soon(join_all(adds)).await.into_iter().flatten().collect();
    before.sort_unstable();
    assert_eq!(
        before,
        (0..12).collect::<Vec<_>>(),
        "each saw another number"
    );
    assert_eq!(soon(counters[1].set(-5)).await.unwrap(), 12);
    assert_eq!(
        soon(counters[2].compare_and_set(12, 0)).await.unwrap(),
        Err(-5)
    );
    assert_eq!(
        soon(counters[2].compare_and_set(-5, i64::MAX))
            .await
            .unwrap(),
        Ok(())
    );
    let error = soon(counters[0].add(1)).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Overflow)),
        "{error:?}"
    );
    assert_eq!(soon(counters[0].get()).await.unwrap(), i64::MAX);
}

#[tokio::test]
async fn a_change_whose_answers_are_lost_is_made_once() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let counter = Counter::new(&client([proxy.url.clone()]), "c").unwrap();
    let direct = Counter::new(&sites.client(&[1]), "c").unwrap();
    soon(counter.add(1)).await.unwrap();
    // The first of its requests, then more, up to more than are repeated.
    for lost in [1, 2, 3, 5, 8, 13] {
        let before = soon(direct.get()).await.unwrap();
        proxy.lose_answers(lost);
        let added = soon(counter.add(1)).await;
        proxy.lose_answers(0);
        let after = soon(direct.get()).await.unwrap();
        match added {
            Ok(answer) => assert_eq!((answer, after), (before, before + 1), "{lost} lost"),
            Err(error) if error.outcome() == Outcome::NotApplied => {
                assert_eq!(after, before, "{lost} lost: {error:?}");
            }
            Err(_) => assert!(after - before <= 1, "{lost} lost"),
        }
    }
}

/// The put itself: it is made, and its answer is lost however often it is asked.
#[tokio::test]
async fn a_put_without_an_answer_is_looked_up() {
    let sites = Sites::start().await;
    let direct = Counter::new(&sites.client(&[1]), "c").unwrap();
    soon(direct.set(10)).await.unwrap();
    let mut looked_up = 0;
    for answers in 1..12 {
        let proxy = Proxy::start(&sites.urls[0]).await;
        let counter = Counter::new(&client([proxy.url.clone()]), "c").unwrap();
        let before = soon(direct.get()).await.unwrap();
        proxy.lose_answers_after(answers, 4);
        let added = soon(counter.add(1)).await;
        if proxy.to_be_lost() > 0 {
            break;
        }
        let after = soon(direct.get()).await.unwrap();
        match added {
            Ok(answer) => {
                looked_up += 1;
                assert_eq!((answer, after), (before, before + 1), "after {answers}");
            }
            // A request that changes nothing was given up.
            Err(error) if error.outcome() == Outcome::NotApplied => assert_eq!(after, before),
            Err(error) => panic!("after {answers}: {error:?}"),
        }
    }
    assert!(looked_up > 0);
}

#[tokio::test]
async fn a_client_that_is_killed_anywhere_has_counted_once_or_not() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| Counter::new(&client, &name).unwrap().add(7).await,
        async |name, added| {
            let counter = Counter::new(&other, &name).unwrap();
            let number = counter.get().await.unwrap();
            match added {
                Ok(before) => assert_eq!((before, number), (0, 7)),
                Err(error) if error.outcome() == Outcome::NotApplied => {
                    assert_eq!(number, 0, "{error:?}");
                }
                Err(_) => assert!(number == 0 || number == 7, "{number}"),
            }
            assert_eq!(counter.add(1).await.unwrap(), number);
        },
    )
    .await;
}

#[tokio::test]
async fn a_register_tells_a_value_that_came_back() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| Register::new(&sites.client(&[site]), "r").unwrap());
    assert_eq!(soon(here.get()).await.unwrap(), (0, None));
    assert_eq!(soon(here.compare_and_set(0, "one")).await.unwrap(), Ok(1));
    assert_eq!(soon(there.set("two")).await.unwrap(), 2);
    assert_eq!(soon(there.set("one")).await.unwrap(), 3);
    assert_eq!(
        soon(here.compare_and_set(1, "three")).await.unwrap(),
        Err(3)
    );
    let bytes = Content::new(vec![0, 255, 7], "application/x-any");
    assert_eq!(
        soon(here.compare_and_set(3, bytes.clone())).await.unwrap(),
        Ok(4)
    );
    assert_eq!(soon(there.get()).await.unwrap(), (4, Some(bytes)));
    let large = vec![0; 256 * 1024 + 1];
    let error = soon(here.set(large)).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::TooLarge { .. })),
        "{error:?}"
    );
    assert!(soon(here.set(vec![0; 256 * 1024])).await.is_ok());
}

#[tokio::test]
async fn a_latch_opens_after_its_counts_and_stays_open() {
    let sites = Sites::start().await;
    let latches = [0, 1, 2].map(|site| Latch::new(&sites.client(&[site]), "l", 3).unwrap());
    let wait = std::time::Duration::from_millis(50);
    assert!(!soon(latches[0].wait_within(wait)).await.unwrap());
    assert_eq!(soon(latches[0].count_down()).await.unwrap(), 2);
    assert_eq!(soon(latches[1].left()).await.unwrap(), 2);
    let waits = join_all(latches.iter().map(Latch::wait));
    let counts = async {
        assert_eq!(latches[1].count_down().await.unwrap(), 1);
        assert_eq!(latches[2].count_down().await.unwrap(), 0);
    };
    let (waits, ()) = soon(async { tokio::join!(waits, counts) }).await;
    assert!(waits.iter().all(Result::is_ok));
    assert_eq!(soon(latches[0].count_down()).await.unwrap(), 0);
    soon(latches[0].wait()).await.unwrap();
}

#[tokio::test]
async fn a_latch_of_another_number_is_refused() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    soon(Latch::new(&client, "l", 3).unwrap().count_down())
        .await
        .unwrap();
    let other = Latch::new(&client, "l", 4).unwrap();
    let error = soon(other.count_down()).await.unwrap_err();
    let disagree = |error: &Error| {
        let Error::Refused(Refusal::Disagreement { asked, found, .. }) = error else {
            return false;
        };
        (*asked, *found) == (4, 3)
    };
    assert!(disagree(&error), "{error:?}");
    for count in [0, u64::MAX] {
        let error = Latch::new(&client, "l", count).unwrap_err();
        assert!(matches!(error, Refusal::OutOfBounds { .. }), "{error:?}");
    }
    for name in [String::new(), "n".repeat(901)] {
        let error = Latch::new(&client, &name, 1).unwrap_err();
        assert!(matches!(error, Refusal::Name { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_latch_whose_last_count_dies_anywhere_opens_or_counts_on() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| Latch::new(&client, &name, 1).unwrap().count_down().await,
        async |name, counted| {
            let latch = Latch::new(&other, &name, 1).unwrap();
            let left = latch.left().await.unwrap();
            assert!(counted.is_err() || left == 0);
            if left > 0 {
                latch.count_down().await.unwrap();
            }
            latch.wait().await.unwrap();
        },
    )
    .await;
}
