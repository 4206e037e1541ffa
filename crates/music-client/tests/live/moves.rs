//! Nodes that die, hang, or are cut off, and the sections that they kept.

use futures_util::future::join_all;
use music_client::Error;
use music_client::api::code::Code;

use crate::sites::{KEY, Sites, TABLE, read, section, soon};

#[tokio::test]
async fn a_section_moves_on_when_its_node_is_killed() {
    let sites = Sites::start().await;
    let client = sites.client(&[0, 1, 2]);
    let section = section(&client).await;
    let token = section.token();
    soon(section.put((TABLE, "k", "a"), "1")).await.unwrap();
    sites.deployment().kill(&sites.nodes[0]).await.unwrap();
    soon(section.put((TABLE, "k", "b"), "2")).await.unwrap();
    assert_eq!(
        (section.endpoint(), section.token()),
        (sites.urls[1].as_str(), token)
    );
    let record = soon(section.fields(KEY)).await.unwrap().unwrap();
    assert_eq!(record.fields.len(), 2, "nothing acknowledged was lost");
    // The node is back, but was left.
    sites
        .deployment()
        .start_node(&sites.nodes[0])
        .await
        .unwrap();
    sites.deployment().kill(&sites.nodes[1]).await.unwrap();
    soon(section.put(KEY, "3")).await.unwrap();
    assert_eq!(section.endpoint(), sites.urls[2]);
    soon(section.confirm()).await.unwrap();
    assert_eq!(read(&sites, 0).await.as_deref(), Some("3"));
}

#[tokio::test]
async fn an_idle_section_moves_on_too() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0, 1])).await;
    sites.deployment().kill(&sites.nodes[0]).await.unwrap();
    let adopted = |queue: &music_client::api::queue::Queue| {
        queue
            .tickets
            .first()
            .is_some_and(|ticket| ticket.incarnation == 1)
    };
    sites.queue(2, adopted).await;
    assert_eq!(section.is_lost(), None);
    soon(section.put(KEY, "v")).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_while_a_node_died_is_there_afterwards() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0, 1, 2])).await;
    let names: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    let puts = names
        .iter()
        .map(|name| section.put((TABLE, "k", name.as_str()), "v"));
    let kill = sites.deployment().kill(&sites.nodes[0]);
    let (puts, killed) = soon(async { tokio::join!(join_all(puts), kill) }).await;
    killed.unwrap();
    let record = soon(section.fields(KEY)).await.unwrap().unwrap();
    for (name, put) in names.iter().zip(puts) {
        put.unwrap();
        assert!(record.fields.contains_key(name), "{name} was acknowledged");
    }
}

#[tokio::test]
async fn a_waiter_moves_on_when_its_node_is_killed() {
    let sites = Sites::start().await;
    let holder = section(&sites.client(&[1])).await;
    let client = sites.client(&[0, 2]);
    let waiter = client.lock([KEY]).acquire();
    let events = async {
        sites.tickets(1, 2).await;
        sites.deployment().kill(&sites.nodes[0]).await.unwrap();
        let moved = |queue: &music_client::api::queue::Queue| {
            queue
                .tickets
                .get(1)
                .is_some_and(|ticket| ticket.incarnation == 1)
        };
        sites.queue(1, moved).await;
        holder.release().await.unwrap();
    };
    let (granted, ()) = soon(async { tokio::join!(waiter, events) }).await;
    let granted = granted.unwrap();
    assert_eq!(granted.endpoint(), sites.urls[2]);
    soon(granted.put(KEY, "v")).await.unwrap();
}

/// Most of them stand in their node's line: no queue knows their names.
#[tokio::test]
async fn all_who_wait_at_a_node_move_on_when_it_is_killed() {
    const WAITERS: u64 = 12;
    let sites = Sites::start().await;
    let holder = section(&sites.client(&[1])).await;
    let waiters = (0..WAITERS).map(async |_| {
        let granted = sites.client(&[0, 2]).lock([KEY]).acquire().await.unwrap();
        let token = granted.token();
        granted.put(KEY, "v").await.unwrap();
        granted.release().await.unwrap();
        token
    });
    let events = async {
        let all = |queue: &music_client::api::queue::Queue| {
            queue.in_line > 0 && queue.in_line + queue.length >= WAITERS
        };
        sites.queue(0, all).await;
        sites.deployment().kill(&sites.nodes[0]).await.unwrap();
        holder.release().await.unwrap();
    };
    let (mut tokens, ()) = soon(async { tokio::join!(join_all(waiters), events) }).await;
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(u64::try_from(tokens.len()).unwrap(), WAITERS);
}

#[tokio::test]
async fn a_suspended_node_loses_its_section_and_what_it_writes_is_never_seen() {
    let sites = Sites::start().await;
    let first = section(&sites.client(&[0])).await;
    soon(first.put(KEY, "first")).await.unwrap();
    sites.deployment().suspend(&sites.nodes[0]).unwrap();
    // Granted when the node was silent for its lease.
    let second = section(&sites.client(&[1])).await;
    assert_eq!(
        soon(second.get(KEY)).await.unwrap().unwrap().content.text(),
        Some("first")
    );
    soon(second.put(KEY, "second")).await.unwrap();
    sites.deployment().resume(&sites.nodes[0]).unwrap();
    let stale = soon(first.put(KEY, "stale")).await;
    assert!(matches!(stale, Err(Error::Lost(_))), "{stale:?}");
    let confirmed = soon(first.confirm()).await;
    assert!(matches!(confirmed, Err(Error::Lost(_))), "{confirmed:?}");
    assert_eq!(
        soon(second.get(KEY)).await.unwrap().unwrap().content.text(),
        Some("second")
    );
    soon(second.confirm()).await.unwrap();
    assert_eq!(read(&sites, 2).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_section_moves_on_from_a_suspended_node_and_what_arrives_late_is_never_seen() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0, 1])).await;
    soon(section.put(KEY, "before")).await.unwrap();
    sites.deployment().suspend(&sites.nodes[0]).unwrap();
    soon(section.put(KEY, "after")).await.unwrap();
    assert_eq!(section.endpoint(), sites.urls[1]);
    sites.deployment().resume(&sites.nodes[0]).unwrap();
    soon(section.put(KEY, "last")).await.unwrap();
    soon(section.confirm()).await.unwrap();
    assert_eq!(read(&sites, 2).await.as_deref(), Some("last"));
}

#[tokio::test]
async fn a_site_cut_off_goes_on_with_eventual_tables_and_says_unavailable_of_others() {
    let sites = Sites::start().await;
    let (cut, other) = (sites.client(&[0]), sites.client(&[1]));
    sites
        .deployment()
        .set_site_cut(&sites.names[0], true)
        .unwrap();
    soon(cut.put(("kv", "k"), "v")).await.unwrap();
    assert!(soon(cut.get(("kv", "k"))).await.unwrap().is_some());
    let error = soon(cut.lock([KEY]).acquire()).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_ne!(error.code(), Some(Code::Internal), "{error:?}");
    let section = section(&other).await;
    soon(section.put(KEY, "v")).await.unwrap();
    soon(section.release()).await.unwrap();
    sites
        .deployment()
        .set_site_cut(&sites.names[0], false)
        .unwrap();
    assert_eq!(read(&sites, 0).await.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_put_at_a_site_that_is_cut_off_fails_there_or_is_made_elsewhere() {
    let sites = Sites::start().await;
    let alone = section(&sites.client(&[0])).await;
    sites
        .deployment()
        .set_site_cut(&sites.names[0], true)
        .unwrap();
    let error = soon(alone.put(KEY, "v")).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    sites
        .deployment()
        .set_site_cut(&sites.names[0], false)
        .unwrap();
    drop(alone);
    let section = section(&sites.client(&[1, 2])).await;
    sites
        .deployment()
        .set_site_cut(&sites.names[1], true)
        .unwrap();
    soon(section.put(KEY, "w")).await.unwrap();
    assert_eq!(section.endpoint(), sites.urls[2]);
}
