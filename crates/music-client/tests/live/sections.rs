//! Sections at several sites.

use std::time::Duration;

use futures_util::future::join_all;
use music_client::{Client, Error, LostReason, Options};

use crate::sites::{KEY, Sites, TABLE, read, section, soon};

#[tokio::test]
async fn each_section_sees_what_the_last_one_wrote() {
    let sites = Sites::start().await;
    for round in 0..9 {
        let (here, next) = (round % 3, (round + 1) % 3);
        let section = section(&sites.client(&[here])).await;
        soon(section.put(KEY, round.to_string())).await.unwrap();
        soon(section.release()).await.unwrap();
        assert_eq!(read(&sites, next).await, Some(round.to_string()));
    }
}

#[tokio::test]
async fn a_counter_counted_at_all_sites_at_once_loses_nothing() {
    let sites = Sites::start().await;
    let counts = (0..12).map(|number| {
        let client = sites.client(&[number % 3]);
        async move {
            let section = section(&client).await;
            let stored = section.get(KEY).await.unwrap();
            let count = stored.map_or(0, |s| s.content.text().unwrap().parse::<u32>().unwrap());
            section.put(KEY, (count + 1).to_string()).await.unwrap();
            section.release().await.unwrap();
        }
    });
    soon(join_all(counts)).await;
    assert_eq!(read(&sites, 0).await.as_deref(), Some("12"));
}

#[tokio::test]
async fn puts_under_way_at_once_are_all_there() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0])).await;
    let fields: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let puts = fields
        .iter()
        .map(|field| section.put((TABLE, "k", field.as_str()), "v"));
    for put in soon(join_all(puts)).await {
        put.unwrap();
    }
    let record = soon(section.fields(KEY)).await.unwrap().unwrap();
    assert_eq!(record.fields.len(), 40);
    soon(section.delete_field((TABLE, "k", "7"))).await.unwrap();
    assert_eq!(soon(section.get((TABLE, "k", "7"))).await.unwrap(), None);
    soon(section.delete(KEY)).await.unwrap();
    assert_eq!(soon(section.fields(KEY)).await.unwrap(), None);
}

#[tokio::test]
async fn shared_sections_run_together_and_an_exclusive_one_waits() {
    let sites = Sites::start().await;
    let clients = [0, 1, 2].map(|node| sites.client(&[node]));
    let first = soon(clients[0].lock([KEY]).shared().acquire())
        .await
        .unwrap();
    let second = soon(clients[1].lock([KEY]).shared().acquire())
        .await
        .unwrap();
    let wait = Duration::from_millis(50);
    let third = soon(clients[2].lock([KEY]).wait(wait).acquire()).await;
    assert!(matches!(third, Err(Error::TimedOut { .. })), "{third:?}");
    soon(first.release()).await.unwrap();
    soon(second.release()).await.unwrap();
    section(&clients[2]).await;
}

#[tokio::test]
async fn a_key_set_is_held_as_a_whole() {
    let sites = Sites::start().await;
    let keys = [(TABLE, "b"), (TABLE, "a")];
    let section = soon(sites.client(&[0]).lock(keys).acquire()).await.unwrap();
    assert_eq!(
        section.tokens()[0].key.key,
        "b".into(),
        "in the order in which they were given"
    );
    for key in keys {
        let wait = Duration::ZERO;
        let other = soon(sites.client(&[1]).lock([key]).wait(wait).acquire()).await;
        assert!(matches!(other, Err(Error::TimedOut { .. })), "{other:?}");
    }
}

#[tokio::test]
async fn a_dropped_section_is_free_at_once() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    drop(section(&client).await);
    soon(client.close()).await;
    section(&sites.client(&[1])).await;
}

#[tokio::test]
async fn a_dropped_wait_leaves_the_queue() {
    let sites = Sites::start().await;
    let _holder = section(&sites.client(&[0])).await;
    let waiter = sites.client(&[1]);
    tokio::select! {
        _ = waiter.lock([KEY]).acquire() => panic!("it was not granted"),
        () = sites.tickets(2, 2) => {}
    }
    soon(waiter.close()).await;
    soon(sites.tickets(2, 1)).await;
}

#[tokio::test]
async fn a_section_outlives_many_leases() {
    let sites = Sites::start().await;
    let options = Options {
        lease: Duration::from_millis(200),
        ..Options::default()
    };
    let client = Client::new([&sites.urls[0]], options).unwrap();
    let section = section(&client).await;
    // Somebody else waits, and would get it if a lease ran out.
    let waiting = sites.client(&[1]);
    let wait = Duration::from_secs(2);
    let other = soon(waiting.lock([KEY]).wait(wait).acquire()).await;
    assert!(matches!(other, Err(Error::TimedOut { .. })), "{other:?}");
    assert_eq!(section.is_lost(), None);
    soon(section.confirm()).await.unwrap();
}

#[tokio::test]
async fn a_forced_release_is_told_to_the_holder_at_once() {
    let sites = Sites::start().await;
    // The next renewal is ten minutes away.
    let options = Options {
        lease: Duration::from_mins(10),
        ..Options::default()
    };
    let client = Client::new([&sites.urls[0]], options).unwrap();
    let section = section(&client).await;
    soon(section.put(KEY, "v")).await.unwrap();
    let forced = sites.client(&[1]).force(section.lock_ref()).await.unwrap();
    assert!(forced);
    // Its node hears of it in a moment: what is put until then comes to nothing.
    let refused = async {
        loop {
            if let Err(error) = section.put(KEY, "w").await {
                return error;
            }
        }
    };
    let refused = soon(refused).await;
    assert!(matches!(refused, Error::Lost(_)), "{refused:?}");
    assert_eq!(soon(section.lost()).await, LostReason::Preempted);
    let confirmed = soon(section.confirm()).await;
    assert!(matches!(confirmed, Err(Error::Lost(_))), "{confirmed:?}");
}

#[tokio::test]
async fn a_section_is_proved_to_be_held_until_another_has_the_lock() {
    let sites = Sites::start().await;
    let first = section(&sites.client(&[0])).await;
    soon(first.prove()).await.unwrap();
    // Its node is paused beyond its lease, and so is taken for dead.
    sites.set_suspended(0, true);
    let next = section(&sites.client(&[1])).await;
    sites.set_suspended(0, false);
    let stale = soon(first.prove()).await;
    assert!(stale.is_err(), "{stale:?}");
    soon(next.prove()).await.unwrap();
}

#[tokio::test]
async fn an_idle_holder_is_told_of_a_forced_release_before_its_next_renewal() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0])).await;
    let work = section.run(std::future::pending::<()>());
    let force = async {
        let client = sites.client(&[1]);
        client.force(section.lock_ref()).await.unwrap();
    };
    let (work, ()) = soon(async { tokio::join!(work, force) }).await;
    assert_eq!(work.unwrap_err().reason, LostReason::Preempted);
}

#[tokio::test]
async fn http_2_does_as_well() {
    let sites = Sites::start().await;
    let options = Options {
        http2_prior_knowledge: true,
        ..Options::default()
    };
    let client = Client::new([&sites.urls[0]], options).unwrap();
    let section = section(&client).await;
    soon(section.put(KEY, "v")).await.unwrap();
    soon(section.release()).await.unwrap();
    assert_eq!(read(&sites, 1).await.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_whole_section_in_one_request() {
    use music_client::api::lock::{Step, StepResult};
    use music_client::api::name::Value;
    use music_client::api::run::Run;

    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let key = || "k".into();
    let fields = [(String::new(), Some(Value::Text("v".to_owned())))].into();
    let run = Run {
        keys: vec![music_client::api::name::KeyRef {
            table: TABLE.to_owned(),
            key: key(),
        }],
        compare: Vec::new(),
        then: vec![Step::Put {
            table: TABLE.to_owned(),
            key: key(),
            fields,
        }],
        otherwise: Vec::new(),
        wait_ms: None,
    };
    let result = soon(client.run(&run)).await.unwrap();
    assert!(result.compared);
    assert!(matches!(result.results[0], StepResult::Written { .. }));
    assert_eq!(read(&sites, 1).await.as_deref(), Some("v"));
}
