//! The operations of a node, as their callers see them.

use std::time::Duration;

use music_core::critical_section::{self, Lost};
use music_core::id::{IdempotencyKey, Key, RecordId};
use music_server::node::{Error, Node, NodeConfig, Released, SectionRef, State, World};
use music_store::engine::{LockEngine, StateEngine};
use music_store::fault::{Call, Fault, Faults};
use music_store::memory::{Memory, Propagation};
use music_store::{TableMode, TableName};

use crate::deployment::{Deployment, LONG, lease, section, text, value};

#[tokio::test]
async fn a_section_writes_and_the_next_one_reads_it_at_another_site() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (
        deployment.node(0, 5000).await,
        deployment.node(2, 5000).await,
    );
    let first = section(&[&deployment.critical]);
    let view = ohio.create_lock_ref(first.clone(), LONG).await.unwrap();
    assert_eq!(view.state, State::Granted);
    let id = &deployment.critical;
    ohio.critical_put(first.request, id, value("one"), None)
        .await
        .unwrap();

    let second = section(&[id]);
    let view = oregon
        .create_lock_ref(second.clone(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(view.state, State::Waiting);
    let waiting = tokio::spawn({
        let (oregon, second) = (oregon.clone(), second.clone());
        async move { oregon.acquire(&second, LONG).await.unwrap() }
    });
    assert_eq!(ohio.release(&first, false).await.unwrap(), Released::Plain);
    assert_eq!(waiting.await.unwrap().state, State::Granted);
    let record = oregon.critical_get(second.request, id).await.unwrap();
    assert_eq!(text(&record), Some(&b"one"[..]));
    assert_eq!(
        oregon.release(&second, true).await.unwrap(),
        Released::Confirmed
    );
}

#[tokio::test]
async fn a_client_that_moves_takes_its_section_along() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (
        deployment.node(0, 5000).await,
        deployment.node(2, 5000).await,
    );
    let id = &deployment.critical;
    let lock = section(&[id, &deployment.other]);
    ohio.create_lock_ref(lock.clone(), LONG).await.unwrap();
    ohio.critical_put(lock.request, id, value("one"), None)
        .await
        .unwrap();
    ohio.kill();

    let elsewhere = oregon.critical_get(lock.request, id).await;
    assert!(matches!(elsewhere, Err(Error::NotHere)));
    assert_eq!(
        oregon.acquire(&lock, LONG).await.unwrap().state,
        State::Granted
    );
    let record = oregon.critical_get(lock.request, id).await.unwrap();
    assert_eq!(text(&record), Some(&b"one"[..]));
    oregon
        .critical_put(lock.request, id, value("two"), None)
        .await
        .unwrap();
    assert_eq!(
        oregon.release(&lock, true).await.unwrap(),
        Released::Confirmed
    );
}

#[tokio::test]
async fn a_suspended_holder_is_preempted_and_told_so() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (deployment.node(0, 300).await, deployment.node(2, 300).await);
    let id = &deployment.critical;
    let stale = section(&[id]);
    ohio.create_lock_ref(stale.clone(), LONG).await.unwrap();
    ohio.critical_put(stale.request, id, value("old"), None)
        .await
        .unwrap();
    ohio.suspend();

    let next = section(&[id]);
    let view = oregon.create_lock_ref(next.clone(), LONG).await.unwrap();
    assert_eq!(
        view.state,
        State::Granted,
        "the suspended node's ticket is forced out"
    );
    oregon
        .critical_put(next.request, id, value("new"), None)
        .await
        .unwrap();

    ohio.resume();
    let late = ohio
        .critical_put(stale.request, id, value("late"), None)
        .await;
    assert!(
        matches!(
            late,
            Err(Error::Section(critical_section::Error::Lost(
                Lost::NodeLeaseExpired
            )))
        ),
        "{late:?}"
    );
    let confirmed = ohio.release(&stale, true).await;
    assert!(
        matches!(
            confirmed,
            Err(Error::Section(critical_section::Error::Lost(_)))
        ),
        "{confirmed:?}"
    );
    let record = oregon.critical_get(next.request, id).await.unwrap();
    assert_eq!(text(&record), Some(&b"new"[..]));
}

#[tokio::test]
async fn a_silent_clients_section_is_ended_by_its_node() {
    let deployment = Deployment::new().await;
    let ohio = deployment.node(0, 5000).await;
    let id = &deployment.critical;
    let silent = SectionRef {
        lease: lease(200),
        ..section(&[id])
    };
    ohio.create_lock_ref(silent.clone(), LONG).await.unwrap();
    let next = section(&[id]);
    let view = ohio.create_lock_ref(next, LONG).await.unwrap();
    assert_eq!(view.state, State::Granted);
    let put = ohio
        .critical_put(silent.request, id, value("late"), None)
        .await;
    let lost = Error::Section(critical_section::Error::Lost(Lost::ClientLeaseExpired));
    assert_eq!(put.unwrap_err().to_string(), lost.to_string());
}

#[tokio::test]
async fn key_sets_in_opposite_order_do_not_deadlock() {
    let deployment = Deployment::new().await;
    let nodes = [
        deployment.node(0, 5000).await,
        deployment.node(1, 5000).await,
    ];
    let workers = (0..8_usize).map(|worker| {
        let node = nodes[worker % 2].clone();
        let lock = section(&[&deployment.critical, &deployment.other]);
        tokio::spawn(async move {
            let view = node.create_lock_ref(lock.clone(), LONG).await.unwrap();
            assert_eq!(view.state, State::Granted);
            assert_eq!(
                node.release(&lock, true).await.unwrap(),
                Released::Confirmed
            );
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn a_retried_put_is_the_same_put() {
    let deployment = Deployment::new().await;
    let ohio = deployment.node(0, 5000).await;
    let id = &deployment.critical;
    let lock = section(&[id]);
    ohio.create_lock_ref(lock.clone(), LONG).await.unwrap();
    let name = Some(IdempotencyKey(7));
    let first = ohio
        .critical_put(lock.request, id, value("one"), name)
        .await
        .unwrap();
    let again = ohio
        .critical_put(lock.request, id, value("one"), name)
        .await
        .unwrap();
    assert_eq!(first, again);
    let other = ohio
        .critical_put(lock.request, id, value("two"), name)
        .await;
    assert!(matches!(
        other,
        Err(Error::Section(
            critical_section::Error::IdempotencyKeyReused
        ))
    ));
    let eventual = &deployment.eventual;
    let first = ohio.put(eventual, value("one"), name).await.unwrap();
    assert_eq!(ohio.put(eventual, value("one"), name).await.unwrap(), first);
}

#[tokio::test]
async fn modes_are_enforced() {
    let deployment = Deployment::new().await;
    let ohio = deployment.node(0, 5000).await;
    let put = ohio.put(&deployment.critical, value("x"), None).await;
    assert!(matches!(
        put,
        Err(Error::WrongMode {
            mode: TableMode::Critical
        })
    ));
    let lock = ohio
        .create_lock_ref(section(&[&deployment.eventual]), LONG)
        .await;
    assert!(matches!(
        lock,
        Err(Error::WrongMode {
            mode: TableMode::Eventual
        })
    ));
    assert!(!ohio.get(&deployment.critical).await.unwrap().exists());
}

#[tokio::test]
async fn a_node_that_shuts_down_releases_what_it_holds() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (
        deployment.node(0, 60_000).await,
        deployment.node(2, 60_000).await,
    );
    let id = &deployment.critical;
    ohio.create_lock_ref(section(&[id]), LONG).await.unwrap();
    assert_eq!(ohio.shutdown(LONG).await, 0);
    let next = section(&[id]);
    let view = oregon.create_lock_ref(next, LONG).await.unwrap();
    assert_eq!(view.state, State::Granted, "long before its lease runs out");
    let refused = ohio.create_lock_ref(section(&[id]), LONG).await;
    assert!(matches!(refused, Err(Error::ShuttingDown)));
}

#[tokio::test]
async fn a_forced_holder_is_told_at_once() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (
        deployment.node(0, 60_000).await,
        deployment.node(2, 60_000).await,
    );
    let lock = section(&[&deployment.critical]);
    ohio.create_lock_ref(lock.clone(), LONG).await.unwrap();
    let told = tokio::spawn({
        let (ohio, request) = (ohio.clone(), lock.request);
        async move { ohio.section_changed(request, State::Granted).await }
    });
    assert!(oregon.force(&lock).await.unwrap());
    let view = tokio::time::timeout(LONG, told)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(view.state, State::Lost(Lost::Preempted));
    assert!(matches!(
        oregon.acquire(&lock, LONG).await,
        Err(Error::NoSuchSection)
    ));
}

#[tokio::test]
async fn a_site_that_is_cut_off_keeps_its_eventual_tables_and_refuses_the_rest() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (deployment.node(0, 300).await, deployment.node(2, 300).await);
    let id = &deployment.critical;
    let held = section(&[id]);
    ohio.create_lock_ref(held.clone(), LONG).await.unwrap();
    deployment.cut_off(0);

    ohio.put(&deployment.eventual, value("local"), None)
        .await
        .unwrap();
    let record = ohio.get(&deployment.eventual).await.unwrap();
    assert_eq!(text(&record), Some(&b"local"[..]));
    let refused = ohio
        .create_lock_ref(section(&[&deployment.other]), Duration::ZERO)
        .await;
    assert!(refused.is_err(), "{refused:?}");
    let put = ohio
        .critical_put(held.request, id, value("late"), None)
        .await;
    assert!(put.is_err(), "{put:?}");

    let next = section(&[id]);
    let view = oregon.create_lock_ref(next.clone(), LONG).await.unwrap();
    assert_eq!(view.state, State::Granted, "the other side goes on");
    oregon
        .critical_put(next.request, id, value("new"), None)
        .await
        .unwrap();
    deployment.heal(0);
    deployment.engine.settled().await;
    for site in deployment.engine.sites() {
        let digest = |site: &str| deployment.engine.digest(site).unwrap();
        assert_eq!(digest(site), digest(&deployment.engine.sites()[0]));
    }
    let record = ohio.get(id).await.unwrap();
    assert_eq!(text(&record), Some(&b"new"[..]));
    assert!(ohio.ready(LONG).await);
    oregon.release(&next, true).await.unwrap();
    let again = ohio.create_lock_ref(section(&[id]), LONG).await.unwrap();
    assert_eq!(again.state, State::Granted);
}

#[tokio::test]
async fn an_enqueue_that_lands_late_leaves_no_ticket_behind() {
    let memory = Memory::new(3, Propagation::Immediate);
    let faults = Faults::default();
    let start = async |site: usize, faults: Faults| {
        let site = memory.site(site).unwrap();
        let config = NodeConfig {
            lease: lease(60_000),
            ..NodeConfig::default()
        };
        let ports = (
            StateEngine::from(site.clone()).faulty(faults.clone()),
            LockEngine::from(site).faulty(faults),
        );
        let node = Node::start(config, World::of_the_machine(), ports);
        assert!(node.ready(LONG).await);
        node
    };
    let (ohio, oregon) = (
        start(0, Faults::default()).await,
        start(2, faults.clone()).await,
    );
    let name = TableName::new("locks").unwrap();
    let table = ohio.create_table(&name, TableMode::Critical).await.unwrap();
    let [first, second] = ["a", "b"].map(|key| RecordId {
        table: table.id,
        key: Key::new(key).unwrap(),
    });
    let lock = section(&[&first, &second]);
    ohio.create_lock_ref(lock.clone(), LONG).await.unwrap();
    // Of the two enqueues of the other node, the first is late; the second
    // finds that the section is elsewhere already.
    faults.next(Call::Apply, Fault::HoldRequest);
    let again = tokio::spawn({
        let (oregon, lock) = (oregon.clone(), lock.clone());
        async move { oregon.create_lock_ref(lock, LONG).await }
    });
    faults.held(1).await;
    ohio.release(&lock, true).await.unwrap();
    faults.release_held();
    drop(again.await.unwrap());
    drop(oregon.release(&lock, false).await);
    for id in [&first, &second] {
        let empty = async {
            while oregon.queue(id).await.unwrap().tickets().count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let emptied = tokio::time::timeout(LONG, empty).await;
        assert!(emptied.is_ok(), "a ticket that nobody keeps");
    }
}

#[tokio::test]
async fn a_lock_ref_asked_for_again_at_another_node_is_the_same() {
    let deployment = Deployment::new().await;
    let (ohio, oregon) = (
        deployment.node(0, 5000).await,
        deployment.node(2, 5000).await,
    );
    let id = &deployment.critical;
    let lock = section(&[id]);
    let first = ohio.create_lock_ref(lock.clone(), LONG).await.unwrap();
    let again = oregon.create_lock_ref(lock.clone(), LONG).await.unwrap();
    assert_eq!(again, first, "the same ticket, granted at both nodes' word");
    assert_eq!(oregon.queue(id).await.unwrap().tickets().count(), 1);
    oregon
        .critical_put(lock.request, id, value("there"), None)
        .await
        .unwrap();
    let late = ohio
        .critical_put(lock.request, id, value("here"), None)
        .await;
    drop(late);
    let record = oregon.critical_get(lock.request, id).await.unwrap();
    assert_eq!(
        text(&record),
        Some(&b"there"[..]),
        "what the first node writes loses"
    );
}
