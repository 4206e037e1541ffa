//! Mutex, reader-writer lock, several keys.

use std::time::Duration;

use futures_util::future::join_all;
use music_client::Error;
use music_client::recipes::{Guard, MultiLock, Mutex, RwLock};

use super::killing::killed_everywhere;
use crate::sites::{Sites, soon};

async fn text(guard: &Guard) -> Option<String> {
    let stored = soon(guard.load()).await.unwrap();
    stored.map(|stored| stored.content.text().unwrap().to_owned())
}

#[tokio::test]
async fn a_mutex_has_one_holder_and_hands_its_state_on() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| Mutex::new(&sites.client(&[site]), "m"));
    let guard = soon(here.lock()).await.unwrap();
    soon(guard.store("mine")).await.unwrap();
    assert!(soon(there.try_lock()).await.unwrap().is_none());
    let wait = Duration::from_millis(50);
    assert!(soon(there.lock_within(wait)).await.unwrap().is_none());
    let (next, released) = soon(async { tokio::join!(there.lock(), guard.unlock()) }).await;
    assert!(released.unwrap());
    let next = next.unwrap();
    assert_eq!(text(&next).await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_guard_is_held_until_its_last_clone_ends() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let [here, there] = [0, 1].map(|site| Mutex::new(&sites.client(&[site]), "m"));
    let guard = soon(here.lock()).await.unwrap();
    let inner = guard.clone();
    assert!(
        !soon(guard.unlock()).await.unwrap(),
        "a clone holds it still"
    );
    soon(inner.store("kept")).await.unwrap();
    assert!(soon(there.try_lock()).await.unwrap().is_none());
    assert!(soon(inner.unlock()).await.unwrap());
    assert!(soon(there.lock()).await.is_ok());
    drop(client);
}

#[tokio::test]
async fn a_mutex_is_the_lock_of_the_command_line() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let _section = soon(client.lock([("locks", "m")]).acquire()).await.unwrap();
    assert!(
        soon(Mutex::new(&client, "m").try_lock())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_preempted_holder_is_told_and_cannot_store() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| sites.client(&[site]));
    let guard = soon(Mutex::new(&here, "m").lock()).await.unwrap();
    soon(guard.store("first")).await.unwrap();
    assert!(soon(there.force(guard.lock_ref())).await.unwrap());
    let next = soon(Mutex::new(&there, "m").lock()).await.unwrap();
    assert!(next.token() > guard.token());
    soon(next.store("second")).await.unwrap();
    let late = soon(guard.store("late")).await;
    assert!(matches!(late, Err(Error::Lost(_))), "{late:?}");
    soon(guard.lost()).await;
    assert_eq!(text(&next).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_holder_that_is_killed_anywhere_leaves_what_was_acknowledged() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| {
            let guard = Mutex::new(&client, &name).lock().await?;
            guard.store("stored").await
        },
        async |name, stored| {
            let guard = Mutex::new(&other, &name).lock().await.unwrap();
            let found = text(&guard).await;
            if stored.is_ok() {
                assert_eq!(found.as_deref(), Some("stored"));
            }
            // It stays as the next holder saw it.
            guard.unlock().await.unwrap();
            let guard = Mutex::new(&other, &name).lock().await.unwrap();
            assert_eq!(text(&guard).await, found);
        },
    )
    .await;
}

#[tokio::test]
async fn readers_share_and_writers_are_alone() {
    let sites = Sites::start().await;
    let locks = [0, 1, 2].map(|site| RwLock::new(&sites.client(&[site]), "rw"));
    let writer = soon(locks[0].write()).await.unwrap();
    soon(writer.store("written")).await.unwrap();
    let no_wait = Duration::ZERO;
    assert!(soon(locks[1].read_within(no_wait)).await.unwrap().is_none());
    soon(writer.unlock()).await.unwrap();
    let readers = soon(join_all(locks.iter().map(RwLock::read))).await;
    for reader in readers.iter().flatten() {
        let state = soon(reader.load()).await.unwrap().unwrap();
        assert_eq!(state.content.text(), Some("written"));
        assert_eq!(reader.is_lost(), None);
    }
    assert!(
        soon(locks[0].write_within(no_wait))
            .await
            .unwrap()
            .is_none()
    );
    for reader in readers {
        soon(reader.unwrap().unlock()).await.unwrap();
    }
    assert!(soon(locks[0].write()).await.is_ok());
}

#[tokio::test]
async fn overlapping_sets_never_deadlock() {
    let sites = Sites::start().await;
    let orders = [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]];
    let rounds = orders.into_iter().enumerate().map(|(site, names)| {
        let lock = MultiLock::new(&sites.client(&[site]), names);
        async move {
            for _ in 0..4 {
                let guard = lock.lock().await.unwrap();
                let count = guard.get(("locks", "a")).await.unwrap();
                let count = count.map_or(0, |count| count.content.text().unwrap().parse().unwrap());
                guard
                    .put(("locks", "a"), (count + 1).to_string())
                    .await
                    .unwrap();
                guard.unlock().await.unwrap();
            }
        }
    });
    soon(join_all(rounds)).await;
    let guard = soon(Mutex::new(&sites.client(&[0]), "a").lock())
        .await
        .unwrap();
    assert_eq!(text(&guard).await.as_deref(), Some("12"));
    let both = MultiLock::new(&sites.client(&[1]), ["b", "a"]);
    assert!(
        soon(both.lock_within(Duration::ZERO))
            .await
            .unwrap()
            .is_none()
    );
}
