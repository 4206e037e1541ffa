//! Sections that wait at one node for one key, and have a ticket together.

use std::time::Duration;

use music_core::lock_ref::FencingToken;
use music_server::node::{Affinity, Error, Node, SectionRef, State};

use crate::deployment::{Deployment, LONG, section, text, value};

const NO_WAIT: Duration = Duration::ZERO;

/// Affinity under which a ticket goes on for so long while others wait.
fn turns_of(turn_max: Duration) -> Affinity {
    Affinity {
        turn_max,
        ..Affinity::default()
    }
}

/// So many sections that wait for the critical key, in the order in which they
/// asked.
async fn waiting(deployment: &Deployment, node: &Node, count: usize) -> Vec<SectionRef> {
    let mut sections = Vec::new();
    for _ in 0..count {
        let section = section(&[&deployment.critical]);
        let view = node.create_lock_ref(section.clone(), NO_WAIT).await;
        assert_eq!(view.unwrap().state, State::Waiting);
        sections.push(section);
    }
    sections
}

/// A section that holds the critical key.
async fn holder(deployment: &Deployment, node: &Node) -> SectionRef {
    let section = section(&[&deployment.critical]);
    granted(node, &section).await;
    section
}

/// Waits for the grant; the fencing token.
async fn granted(node: &Node, section: &SectionRef) -> FencingToken {
    let view = node.create_lock_ref(section.clone(), LONG).await.unwrap();
    assert_eq!(view.state, State::Granted);
    view.tokens[0].1
}

async fn is_granted(node: &Node, section: &SectionRef) -> bool {
    let view = node.create_lock_ref(section.clone(), NO_WAIT).await;
    view.unwrap().state == State::Granted
}

async fn tickets(deployment: &Deployment, node: &Node) -> usize {
    let queue = node.queue(&deployment.critical).await.unwrap();
    queue.tickets().count()
}

/// Waits until so many tickets are in the queue of the critical key.
async fn until_tickets(deployment: &Deployment, node: &Node, count: usize) {
    let reached = async {
        while tickets(deployment, node).await != count {
            let pause = Duration::from_millis(20);
            node.queue_changed(&deployment.critical, pause).await;
        }
    };
    let reached = tokio::time::timeout(LONG, reached).await;
    assert!(reached.is_ok(), "{}", tickets(deployment, node).await);
}

#[tokio::test]
async fn many_that_wait_have_a_few_tickets_and_their_turn_in_order() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 60_000).await;
    let id = &deployment.critical;
    let first = holder(&deployment, &node).await;
    let others = waiting(&deployment, &node, 100).await;
    // The holder, one that waits by its own name, and the line.
    until_tickets(&deployment, &node, 3).await;
    assert_eq!(node.in_line(id), 99);
    assert_eq!(node.status().in_line, 99);
    let mut last = granted(&node, &first).await;
    node.release(&first, false).await.unwrap();
    for section in &others {
        let token = granted(&node, section).await;
        assert!(token > last, "{token:?} after {last:?}");
        last = token;
        node.critical_put(section.request, id, value("here"), None)
            .await
            .unwrap();
        node.release(section, false).await.unwrap();
    }
    assert_eq!(node.in_line(id), 0);
    // Nobody but the line has asked for more.
    assert_eq!(node.queue(id).await.unwrap().last().get(), 3);
}

#[tokio::test]
async fn another_site_is_let_in_when_the_turn_is_over() {
    let deployment = Deployment::new().await;
    let affinity = turns_of(Duration::ZERO);
    let home = deployment.node_with(0, 60_000, affinity).await;
    let away = deployment.node_with(1, 60_000, affinity).await;
    let id = &deployment.critical;
    let first = holder(&deployment, &home).await;
    let others = waiting(&deployment, &home, 10).await;
    until_tickets(&deployment, &home, 3).await;
    let visitor = waiting(&deployment, &away, 1).await.remove(0);
    home.release(&first, false).await.unwrap();
    let mut served = 0;
    for section in &others {
        let token = granted(&home, section).await;
        let at = token.lock_ref();
        // Until it is known here that the visitor waits.
        while home.queue(id).await.unwrap().last() <= at {
            tokio::task::yield_now().await;
        }
        home.critical_put(section.request, id, value("home"), None)
            .await
            .unwrap();
        home.release(section, false).await.unwrap();
        served += 1;
        if served == 2 {
            break;
        }
    }
    granted(&away, &visitor).await;
    assert!(home.in_line(id) > 0);
    let seen = away.critical_get(visitor.request, id).await.unwrap();
    assert_eq!(text(&seen), Some(&b"home"[..]));
    away.release(&visitor, false).await.unwrap();
    for section in &others[served..] {
        granted(&home, section).await;
        home.release(section, false).await.unwrap();
    }
}

#[tokio::test]
async fn all_sites_have_their_turns_under_full_load_elsewhere() {
    let deployment = Deployment::new().await;
    let affinity = turns_of(Duration::from_millis(5));
    let mut work = tokio::task::JoinSet::new();
    for site in 0..3 {
        let node = deployment.node_with(site, 60_000, affinity).await;
        for _ in 0..16 {
            let (node, id) = (node.clone(), deployment.critical.clone());
            work.spawn(async move {
                let mut tokens = Vec::new();
                for _ in 0..10 {
                    let section = section(&[&id]);
                    tokens.push(granted(&node, &section).await);
                    let put = node.critical_put(section.request, &id, value("x"), None);
                    put.await.unwrap();
                    node.release(&section, false).await.unwrap();
                }
                tokens
            });
        }
    }
    let all = tokio::time::timeout(Duration::from_mins(2), work.join_all()).await;
    let mut tokens: Vec<_> = all.unwrap().into_iter().flatten().collect();
    tokens.sort_unstable();
    let count = tokens.len();
    tokens.dedup();
    assert_eq!((count, tokens.len()), (480, 480));
}

#[tokio::test]
async fn who_gives_up_or_is_forced_out_of_a_line_is_passed_over() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 60_000).await;
    let first = holder(&deployment, &node).await;
    let others = waiting(&deployment, &node, 6).await;
    until_tickets(&deployment, &node, 3).await;
    node.release(&others[1], false).await.unwrap();
    assert!(node.force(&others[3]).await.unwrap());
    let asked = node.acquire(&others[3], NO_WAIT).await;
    assert!(matches!(asked, Err(Error::Section(_))), "{asked:?}");
    node.release(&first, false).await.unwrap();
    for stays in [0, 2, 4, 5] {
        granted(&node, &others[stays]).await;
        node.release(&others[stays], false).await.unwrap();
    }
    assert_eq!(node.in_line(&deployment.critical), 0);
}

#[tokio::test]
async fn a_line_that_all_have_left_asks_for_nothing() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 60_000).await;
    let _first = holder(&deployment, &node).await;
    let others = waiting(&deployment, &node, 4).await;
    until_tickets(&deployment, &node, 3).await;
    for section in others {
        node.release(&section, false).await.unwrap();
    }
    until_tickets(&deployment, &node, 1).await;
}

#[tokio::test]
async fn behind_one_that_goes_on_for_long_the_line_keeps_its_place() {
    let deployment = Deployment::new().await;
    let home = deployment.node(0, 60_000).await;
    let away = deployment.node(1, 60_000).await;
    let first = holder(&deployment, &home).await;
    let others = waiting(&deployment, &home, 4).await;
    until_tickets(&deployment, &home, 3).await;
    home.release(&first, false).await.unwrap();
    granted(&home, &others[0]).await;
    home.release(&others[0], false).await.unwrap();
    // This one has the line's ticket; after a second those behind it ask anew.
    granted(&home, &others[1]).await;
    until_tickets(&deployment, &home, 2).await;
    let visitor = waiting(&deployment, &away, 1).await.remove(0);
    home.release(&others[1], false).await.unwrap();
    granted(&home, &others[2]).await;
    assert!(!is_granted(&away, &visitor).await);
    home.release(&others[2], false).await.unwrap();
    home.release(&others[3], false).await.unwrap();
    granted(&away, &visitor).await;
}

#[tokio::test]
async fn a_line_whose_ticket_is_forced_asks_for_another_one() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 60_000).await;
    let id = &deployment.critical;
    let first = holder(&deployment, &node).await;
    let others = waiting(&deployment, &node, 3).await;
    until_tickets(&deployment, &node, 3).await;
    let queue = node.queue(id).await.unwrap();
    assert!(node.force_ticket(id, queue.last()).await.unwrap());
    node.release(&first, false).await.unwrap();
    for section in &others {
        granted(&node, section).await;
        node.release(section, false).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_whose_lease_runs_out_tells_those_in_line() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 500).await;
    let away = deployment.node(1, 500).await;
    let first = holder(&deployment, &node).await;
    let others = waiting(&deployment, &node, 4).await;
    until_tickets(&deployment, &node, 3).await;
    deployment.cut_off(0);
    let told = node.create_lock_ref(others[3].clone(), LONG).await;
    assert!(matches!(told, Err(Error::NodeLeaseExpired)), "{told:?}");
    let visitor = section(&[&deployment.critical]);
    granted(&away, &visitor).await;
    away.release(&visitor, false).await.unwrap();
    deployment.heal(0);
    assert!(node.ready(LONG).await);
    let again = section(&[&deployment.critical]);
    granted(&node, &again).await;
    assert!(!is_granted(&node, &section(&[&deployment.critical])).await);
    assert!(
        node.critical_get(first.request, &deployment.critical)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn nothing_is_left_of_a_line_at_a_shutdown() {
    let deployment = Deployment::new().await;
    let node = deployment.node(0, 60_000).await;
    let other = deployment.node(1, 60_000).await;
    let _first = holder(&deployment, &node).await;
    waiting(&deployment, &node, 5).await;
    until_tickets(&deployment, &node, 3).await;
    assert_eq!(node.shutdown(LONG).await, 0);
    assert_eq!(tickets(&deployment, &other).await, 0);
}
