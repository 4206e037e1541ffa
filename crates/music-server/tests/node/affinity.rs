//! Tickets that a node keeps between sections.

use std::time::Duration;

use music_core::id::Moves;
use music_core::lock_ref::FencingToken;
use music_server::node::{Affinity, Error, Node, SectionRef, State};

use crate::deployment::{Deployment, LONG, section, text, value};

/// A section of a node that is granted.
async fn granted(node: &Node, section: SectionRef) -> (SectionRef, FencingToken) {
    let view = node.create_lock_ref(section.clone(), LONG).await.unwrap();
    assert_eq!(view.state, State::Granted);
    (section, view.tokens[0].1)
}

/// Takes and gives back the lock of the critical key; its fencing token.
async fn use_once(deployment: &Deployment, node: &Node) -> FencingToken {
    let (section, token) = granted(node, section(&[&deployment.critical])).await;
    node.release(&section, false).await.unwrap();
    token
}

/// Makes a node keep the ticket of the critical key.
async fn make_home(deployment: &Deployment, node: &Node) {
    for _ in 0..3 {
        use_once(deployment, node).await;
        // Until it is known that nobody waits: the release is on its way.
        let id = &deployment.critical;
        while node.status().kept == 0 && node.queue(id).await.unwrap().tickets().count() > 0 {
            tokio::task::yield_now().await;
        }
    }
    let queue = node.queue(&deployment.critical).await.unwrap();
    assert_eq!(node.status().kept, 1, "{queue:?}");
}

/// Affinity without an end.
fn patient() -> Affinity {
    Affinity {
        idle_max: Duration::from_hours(1),
        ..Affinity::default()
    }
}

#[tokio::test]
async fn sections_of_one_site_have_one_ticket_and_growing_tokens() {
    let deployment = Deployment::new().await;
    let node = deployment.node_with(0, 60_000, patient()).await;
    make_home(&deployment, &node).await;
    let id = &deployment.critical;
    let before = node.queue(id).await.unwrap().last();
    let mut last = None;
    for _ in 0..20 {
        let token = Some(use_once(&deployment, &node).await);
        assert!(token > last);
        last = token;
    }
    assert_eq!(node.queue(id).await.unwrap().last(), before);
}

#[tokio::test]
async fn another_site_that_asks_is_let_in_and_sees_what_was_put() {
    let deployment = Deployment::new().await;
    let home = deployment.node_with(0, 60_000, patient()).await;
    let away = deployment.node_with(2, 60_000, patient()).await;
    make_home(&deployment, &home).await;
    let id = &deployment.critical;
    let (holder, token) = granted(&home, section(&[id])).await;
    home.critical_put(holder.request, id, value("home"), None)
        .await
        .unwrap();
    home.release(&holder, false).await.unwrap();
    let (visitor, later) = granted(&away, section(&[id])).await;
    assert!(later > token);
    let seen = away.critical_get(visitor.request, id).await.unwrap();
    assert_eq!(text(&seen), Some(&b"home"[..]));
    assert_eq!(home.status().kept, 0);
    away.release(&visitor, false).await.unwrap();
}

#[tokio::test]
async fn a_key_that_sites_use_in_turn_is_not_kept() {
    let deployment = Deployment::new().await;
    let nodes = [
        deployment.node_with(0, 60_000, patient()).await,
        deployment.node_with(1, 60_000, patient()).await,
    ];
    for turn in 0..10 {
        let node = &nodes[turn % 2];
        use_once(&deployment, node).await;
        assert_eq!(node.status().kept, 0);
    }
}

#[tokio::test]
async fn what_is_not_used_is_given_back_and_so_is_all_at_a_shutdown() {
    let deployment = Deployment::new().await;
    let id = &deployment.critical;
    let brief = Affinity {
        idle_max: Duration::from_millis(300),
        ..Affinity::default()
    };
    let node = deployment.node_with(0, 60_000, brief).await;
    let other = deployment.node_with(1, 60_000, patient()).await;
    make_home(&deployment, &node).await;
    while other.queue(id).await.unwrap().tickets().count() > 0 {
        other.queue_changed(id, Duration::from_millis(50)).await;
    }
    make_home(&deployment, &other).await;
    other.shutdown(LONG).await;
    assert_eq!(node.queue(id).await.unwrap().tickets().count(), 0);
}

#[tokio::test]
async fn a_client_that_did_not_hear_of_its_grant_is_granted_elsewhere() {
    let deployment = Deployment::new().await;
    let home = deployment.node_with(0, 60_000, patient()).await;
    let away = deployment.node_with(2, 60_000, patient()).await;
    make_home(&deployment, &home).await;
    let asked = section(&[&deployment.critical]);
    granted(&home, asked.clone()).await;
    let moved = SectionRef {
        moves: Moves(1),
        ..asked
    };
    let (moved, _) = granted(&away, moved).await;
    away.release(&moved, true).await.unwrap();
}

/// Its ticket bears a name that no client knows, until it has had it for a while.
#[tokio::test]
async fn a_section_under_a_kept_ticket_is_taken_over_by_another_node() {
    let deployment = Deployment::new().await;
    let home = deployment.node_with(0, 60_000, patient()).await;
    let away = deployment.node_with(2, 60_000, patient()).await;
    let id = &deployment.critical;
    make_home(&deployment, &home).await;
    let (first, token) = granted(&home, section(&[id])).await;
    assert!(token.is_handed_over());
    home.critical_put(first.request, id, value("here"), None)
        .await
        .unwrap();
    let moved = SectionRef {
        moves: Moves(1),
        ..first.clone()
    };
    let view = away.acquire(&moved, LONG).await.unwrap();
    assert_eq!(view.state, State::Granted);
    assert_eq!(view.tokens[0].1, token);
    let seen = away.critical_get(moved.request, id).await.unwrap();
    assert_eq!(text(&seen), Some(&b"here"[..]));
    // Whatever the node answers that it has left, it comes to nothing.
    let late = home.critical_put(first.request, id, value("late"), None);
    drop(late.await);
    away.release(&moved, true).await.unwrap();
    let (next, later) = granted(&away, section(&[id])).await;
    assert!(later > token);
    let seen = away.critical_get(next.request, id).await.unwrap();
    assert_eq!(text(&seen), Some(&b"here"[..]));
}

#[tokio::test]
async fn a_section_under_a_kept_ticket_is_forced_at_any_node() {
    let deployment = Deployment::new().await;
    let home = deployment.node_with(0, 60_000, patient()).await;
    let away = deployment.node_with(2, 60_000, patient()).await;
    for node in [&home, &away] {
        make_home(&deployment, &home).await;
        let (held, _) = granted(&home, section(&[&deployment.critical])).await;
        assert!(node.force(&held).await.unwrap());
        let id = &deployment.critical;
        while !matches!(
            home.acquire(&held, LONG).await.unwrap().state,
            State::Lost(_)
        ) {
            home.queue_changed(id, Duration::from_millis(10)).await;
        }
        home.release(&held, false).await.unwrap_err();
        assert!(!node.force(&held).await.unwrap());
    }
}

/// Whatever the client of a section that is over asks of other nodes, late.
#[tokio::test]
async fn a_section_that_is_over_hits_no_other() {
    let deployment = Deployment::new().await;
    let home = deployment.node_with(0, 60_000, patient()).await;
    let away = deployment.node_with(2, 60_000, patient()).await;
    let id = &deployment.critical;
    make_home(&deployment, &home).await;
    let (first, _) = granted(&home, section(&[id])).await;
    home.release(&first, false).await.unwrap();
    let (next, _) = granted(&home, section(&[id])).await;
    let moved = SectionRef {
        moves: Moves(1),
        ..first
    };
    assert!(away.release(&moved, false).await.is_err());
    assert!(!away.force(&moved).await.unwrap());
    let late = away.acquire(&moved, LONG).await;
    assert!(matches!(late, Err(Error::NoSuchSection)), "{late:?}");
    home.critical_put(next.request, id, value("next"), None)
        .await
        .unwrap();
    home.release(&next, true).await.unwrap();
}
