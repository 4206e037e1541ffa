//! Nodes in one process, over real sockets.

use music_core::id::{Key, Moves, RecordId, SessionId};
use music_core::lock_queue::{Mode, NewTicket};
use music_core::lock_ref::LockRef;
use music_core::time::Lease;
use music_store::fault::{Call, Fault};

use super::*;
use crate::config::Overrides;
use crate::node::{RelayedEnqueue, SectionRef, State, TRIES_MAX, request_id};

const TABLES: &str = "tables = [{ name = 'locks', mode = 'critical' }]";

fn config(site: &str) -> Config {
    let text = format!("site = '{site}'\nlisten = '127.0.0.1:0'\n{TABLES}");
    Config::parse(&text, |_| None, &Overrides::default()).unwrap()
}

async fn two_nodes() -> [NodeServer; 2] {
    let topology = Topology::open(&config("a").engine).await.unwrap();
    let start = |site| NodeServer::start(Arc::new(config(site)), topology.clone(), None);
    [start("a").await.unwrap(), start("b").await.unwrap()]
}

fn section(node: &NodeServer) -> SectionRef {
    let name = music_store::TableName::new("locks").unwrap();
    let table = node.node().table(&name).unwrap().id;
    let key = RecordId {
        table,
        key: Key::new("k").unwrap(),
    };
    let lease = Lease::new(Duration::from_hours(1)).unwrap();
    SectionRef {
        request: request_id(),
        keys: vec![key],
        mode: Mode::Exclusive,
        lease,
        moves: Moves::default(),
    }
}

/// Nodes whose lock engine tells of nothing, and which look so seldom that
/// they do not in a test; tickets are kept for an hour.
async fn deaf_nodes() -> [NodeServer; 2] {
    faulty_deaf_nodes(&Faults::default()).await
}

async fn faulty_deaf_nodes(faults: &Faults) -> [NodeServer; 2] {
    faults.deafen();
    let topology = Topology::open(&config("a").engine).await.unwrap();
    let start = |site: &str| {
        let mut config = config(site);
        config.cluster.node_lease = Lease::new(Duration::from_mins(5)).unwrap();
        config.affinity.idle_max = Duration::from_hours(1);
        NodeServer::start(Arc::new(config), topology.clone(), Some(faults))
    };
    [start("a").await.unwrap(), start("b").await.unwrap()]
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_node_that_releases_tells_the_one_that_waits() {
    let [first, second] = deaf_nodes().await;
    for (here, there) in [(&first, &second), (&second, &first)] {
        let held = section(here);
        let view = here.node().create_lock_ref(held.clone(), SOON).await;
        assert_eq!(view.unwrap().state, State::Granted);
        let waits = section(there);
        let view = there
            .node()
            .create_lock_ref(waits.clone(), Duration::ZERO)
            .await;
        assert_eq!(view.unwrap().state, State::Waiting);
        here.node().release(&held, false).await.unwrap();
        let view = there.node().acquire(&waits, SOON).await;
        assert_eq!(view.unwrap().state, State::Granted);
        there.node().release(&waits, true).await.unwrap();
        // That here was wanted, and then that it is free.
        for node in [here, there] {
            let counts = node.node().neighbour_counts();
            assert!(counts.heard.get() > 0);
            assert_eq!(counts.lost.get(), 0);
        }
    }
}

async fn make_home(server: &NodeServer) {
    while server.node().status().kept == 0 {
        let section = section(server);
        let view = server.node().create_lock_ref(section.clone(), SOON).await;
        assert_eq!(view.unwrap().state, State::Granted);
        server.node().release(&section, false).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_waits_calls_in_what_another_one_keeps() {
    let [home, away] = deaf_nodes().await;
    make_home(&home).await;
    let visitor = section(&away);
    let view = away.node().create_lock_ref(visitor, SOON).await;
    assert_eq!(view.unwrap().state, State::Granted);
    assert_eq!(home.node().status().kept, 0);
}

#[tokio::test]
async fn a_false_hint_changes_nothing() {
    let [home, _] = deaf_nodes().await;
    make_home(&home).await;
    let keys = section(&home).keys;
    let nobody = SessionId(1);
    home.node()
        .hear_hints(nobody, keys.clone(), keys.clone())
        .await;
    let queue = home.node().queue(&keys[0]).await.unwrap();
    assert_eq!(queue.tickets().count(), 1);
    assert_eq!(home.node().status().kept, 1);
}

/// A section that waits at a node, if nobody was granted before.
async fn enqueued(server: &NodeServer) -> (SectionRef, State) {
    let section = section(server);
    let view = server
        .node()
        .create_lock_ref(section.clone(), Duration::ZERO);
    (section, view.await.unwrap().state)
}

/// A section that nobody is in the way of.
async fn granted(server: &NodeServer) -> SectionRef {
    let (section, state) = enqueued(server).await;
    assert_eq!(state, State::Granted);
    section
}

async fn tickets(server: &NodeServer) -> usize {
    let keys = section(server).keys;
    let queue = server.node().queue(&keys[0]).await.unwrap();
    queue.tickets().count()
}

#[tokio::test]
async fn a_node_enqueues_by_way_of_the_one_at_the_head() {
    let [first, second] = deaf_nodes().await;
    let held = granted(&first).await;
    let (waits, state) = enqueued(&second).await;
    assert_eq!((state, tickets(&first).await), (State::Waiting, 2));
    assert_eq!(second.node().neighbour_counts().relayed.get(), 1);
    first.node().release(&held, false).await.unwrap();
    let view = second.node().acquire(&waits, SOON).await;
    assert_eq!(view.unwrap().state, State::Granted);
    second.node().release(&waits, true).await.unwrap();
    assert_eq!(tickets(&first).await, 0);
    assert_eq!(first.node().neighbour_counts().relayed.get(), 0);
}

#[tokio::test]
async fn what_another_node_does_late_leaves_no_ticket_behind() {
    let faults = Faults::default();
    let [first, second] = faulty_deaf_nodes(&faults).await;
    let held = granted(&first).await;
    faults.next(Call::Apply, Fault::Late);
    let (waits, state) = enqueued(&second).await;
    assert_eq!((state, tickets(&first).await), (State::Waiting, 2));
    first.node().release(&held, true).await.unwrap();
    let view = second.node().acquire(&waits, SOON).await;
    assert_eq!(view.unwrap().state, State::Granted);
    second.node().release(&waits, true).await.unwrap();
    assert_eq!(faults.deliver_late().await, 1);
    assert_eq!(tickets(&first).await, 0);
}

#[tokio::test]
async fn what_another_node_has_done_is_found_without_its_answer() {
    let faults = Faults::default();
    let [first, second] = faulty_deaf_nodes(&faults).await;
    let _held = granted(&first).await;
    faults.next(Call::Apply, Fault::LoseAnswer);
    let (_waits, state) = enqueued(&second).await;
    assert_eq!((state, tickets(&first).await), (State::Waiting, 2));
}

#[tokio::test]
async fn what_this_node_does_late_leaves_no_ticket_behind_either() {
    let faults = Faults::default();
    let [first, second] = faulty_deaf_nodes(&faults).await;
    faults.next(Call::Apply, Fault::Late);
    let asks = section(&second);
    let asked = second.node().create_lock_ref(asks.clone(), SOON);
    // In time, as a rule: another node is at the head before it is made again.
    let other = async {
        while faults.planned() > 0 {
            tokio::task::yield_now().await;
        }
        let (held, _) = enqueued(&first).await;
        first.node().release(&held, false).await.unwrap();
    };
    let (view, ()) = tokio::join!(asked, other);
    assert_eq!(view.unwrap().state, State::Granted);
    second.node().release(&asks, true).await.unwrap();
    assert_eq!(faults.deliver_late().await, 1);
    assert_eq!(tickets(&first).await, 0);
}

/// A question of a node at `from` to the one at `to`, which has a section.
fn question(from: &NodeServer, to: &NodeServer) -> RelayedEnqueue {
    let SectionRef {
        request,
        keys,
        mode,
        moves,
        ..
    } = section(from);
    let ticket = NewTicket {
        owner: from.node().status().session,
        mode,
        lease: Lease::new(Duration::from_mins(5)).unwrap(),
        request,
        moves,
    };
    RelayedEnqueue {
        to: to.node().status().session,
        id: keys[0].clone(),
        ticket,
        above: LockRef::NONE,
        limit: LockRef::new(64).unwrap(),
    }
}

#[tokio::test]
async fn a_node_enqueues_for_another_that_asks_it_and_for_nobody_else() {
    let [first, second] = deaf_nodes().await;
    let held = granted(&first).await;
    let asked = question(&second, &first);
    let (own, other) = (asked.to, asked.ticket.owner);
    let far = RelayedEnqueue {
        limit: LockRef::MAX,
        ..question(&second, &first)
    };
    let wrong = [
        far,
        RelayedEnqueue {
            to: other,
            ..question(&second, &first)
        },
        RelayedEnqueue {
            ticket: NewTicket {
                owner: own,
                ..asked.ticket
            },
            ..question(&second, &first)
        },
        RelayedEnqueue {
            ticket: NewTicket {
                lease: Lease::MAX,
                ..asked.ticket
            },
            ..question(&second, &first)
        },
    ];
    for question in wrong {
        let refused = first.node().enqueue_for(question).await;
        assert!(matches!(refused, Err(node::Error::NotHere)), "{refused:?}");
    }
    assert_eq!(tickets(&first).await, 1);
    first.node().enqueue_for(asked).await.unwrap();
    assert_eq!(tickets(&first).await, 2);
    // Who asked is told without a hint of its own.
    first.node().release(&held, false).await.unwrap();
    while second.node().neighbour_counts().heard.get() == 0 {
        tokio::task::yield_now().await;
    }
    let idle = first.node().enqueue_for(question(&second, &first)).await;
    assert!(matches!(idle, Err(node::Error::NotHere)), "{idle:?}");
}

#[tokio::test]
async fn a_section_that_gives_up_keeps_out_what_another_node_does_late() {
    let faults = Faults::default();
    let [first, second] = faulty_deaf_nodes(&faults).await;
    let _held = granted(&first).await;
    faults.next(Call::Apply, Fault::Late);
    // None of those after it is done, for certain; it may be.
    for _ in 1..TRIES_MAX {
        faults.next(Call::Apply, Fault::FailBefore);
    }
    let gives_up = section(&second);
    let asked = second.node().create_lock_ref(gives_up.clone(), SOON);
    let given_up = async {
        while faults.planned() > 0 {
            tokio::task::yield_now().await;
        }
        second.node().release(&gives_up, false).await.unwrap();
    };
    let (view, ()) = tokio::join!(asked, given_up);
    assert_eq!(view.unwrap().state, State::Released);
    while second.node().status().sections > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(faults.deliver_late().await, 1);
    assert_eq!(tickets(&first).await, 1);
}

#[tokio::test]
async fn a_node_that_is_gone_is_not_waited_for() {
    let [first, second] = deaf_nodes().await;
    let _held = granted(&first).await;
    first.kill().await;
    let (_waits, state) = enqueued(&second).await;
    assert_eq!((state, tickets(&second).await), (State::Waiting, 2));
    assert_eq!(second.node().neighbour_counts().relayed.get(), 0);
}

#[tokio::test]
async fn a_shutdown_releases_what_is_held() {
    let [first, second] = two_nodes().await;
    let wait = Duration::from_secs(20);
    let held = first
        .node()
        .create_lock_ref(section(&first), wait)
        .await
        .unwrap();
    assert_eq!(held.state, State::Granted);
    assert_eq!(first.shutdown().await, 0);
    // Long before any lease ends.
    let next = second
        .node()
        .create_lock_ref(section(&second), wait)
        .await
        .unwrap();
    assert_eq!(next.state, State::Granted);
}

#[tokio::test]
async fn a_table_in_the_other_mode_is_a_fault() {
    let [first, _] = two_nodes().await;
    let mut other = config("c");
    other.tables[0].mode = music_store::TableMode::Eventual;
    let topology = first.app().topology.clone().unwrap();
    let error = NodeServer::start(Arc::new(other), topology, None)
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::TableExists(_)), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let [first, _] = two_nodes().await;
    let busy = Config {
        listen: first.address(),
        ..config("c")
    };
    let topology = first.app().topology.clone().unwrap();
    let error = NodeServer::start(Arc::new(busy), topology, None)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains(&first.address().to_string()),
        "{error}"
    );
}
