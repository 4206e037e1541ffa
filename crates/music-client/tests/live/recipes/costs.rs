//! What recipes cost, in calls of the engine that need a majority.

use std::time::Duration;

use futures_util::future::join_all;
use music_client::recipes::{Barrier, Counter, Election, Latch, Mutex, Once, Queue, Semaphore};
use music_client::{Client, WatchEvent, WatchTarget};
use music_store::fault::{Call, Faults};
use tokio::time::MissedTickBehavior;

use crate::sites::{Sites, client_with_lease, soon};

/// The calls that cost a round or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cost {
    /// Consensus of the lock store: enqueues, withdrawals, confirmations.
    applies: u64,
    peeks: u64,
    releases: u64,
    reads: u64,
    writes: u64,
}

impl Cost {
    fn so_far(faults: &Faults) -> Self {
        Self {
            applies: faults.calls(Call::Apply),
            peeks: faults.calls(Call::Peek),
            releases: faults.calls(Call::Release),
            reads: faults.calls(Call::Read),
            writes: faults.calls(Call::Write),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            applies: self.applies - before.applies,
            peeks: self.peeks - before.peeks,
            releases: self.releases - before.releases,
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
        }
    }

    fn all(self) -> u64 {
        self.applies + self.peeks + self.releases + self.reads + self.writes
    }
}

/// Three sites whose calls are counted, with tables that are there.
struct Counted {
    faults: Faults,
    sites: Sites,
}

impl Counted {
    async fn start() -> Self {
        let faults = Faults::default();
        let sites = Sites::counted(&faults).await;
        let counted = Self { faults, sites };
        let client = counted.client(0);
        soon(Counter::new(&client, "tables").unwrap().add(1))
            .await
            .unwrap();
        counted.quiet().await;
        counted
    }

    /// A client whose leases are so long that it proves no life in a test.
    fn client(&self, site: usize) -> Client {
        client_with_lease([self.sites.urls[site].clone()], Duration::from_mins(5))
    }

    /// Waits until what goes on in the background is over: until nothing was
    /// asked for a while, far longer than any of it takes.
    async fn quiet(&self) {
        let mut looks = tokio::time::interval(Duration::from_millis(25));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut same) = (Cost::default(), 0);
        for _ in 0..400 {
            looks.tick().await;
            let now = Cost::so_far(&self.faults);
            same = if now == before { same + 1 } else { 0 };
            if same == 12 {
                return;
            }
            before = now;
        }
        panic!("something goes on and on");
    }

    async fn cost(&self, what: impl Future<Output = ()>) -> Cost {
        let before = Cost::so_far(&self.faults);
        soon(what).await;
        self.quiet().await;
        Cost::so_far(&self.faults).since(before)
    }
}

#[tokio::test]
async fn an_uncontended_mutex_costs_one_section() {
    let counted = Counted::start().await;
    let client = counted.client(0);
    let section = counted
        .cost(async {
            let key = ("locks", "section");
            let section = client.lock([key]).acquire().await.unwrap();
            section.get(key).await.unwrap();
            section.put(key, "x").await.unwrap();
            section.release().await.unwrap();
        })
        .await;
    let mutex = counted
        .cost(async {
            let guard = Mutex::new(&client, "mutex").lock().await.unwrap();
            guard.load().await.unwrap();
            guard.store("x").await.unwrap();
            guard.unlock().await.unwrap();
        })
        .await;
    assert_eq!(mutex, section);
    let once_each = Cost {
        applies: 1,
        peeks: 0,
        releases: 1,
        reads: 1,
        writes: 1,
    };
    assert_eq!(mutex, once_each);
}

#[tokio::test]
async fn a_hand_over_costs_a_release_and_a_peek() {
    let counted = Counted::start().await;
    let [here, there] = [0, 1].map(|site| Mutex::new(&counted.client(site), "m"));
    let guard = soon(here.lock()).await.unwrap();
    let next = tokio::spawn(async move { there.lock().await.unwrap() });
    while soon(counted.client(2).queue(("locks", "m")))
        .await
        .unwrap()
        .length
        < 2
    {}
    counted.quiet().await;
    let hand_over = counted
        .cost(async {
            guard.unlock().await.unwrap();
            std::mem::forget(next.await.unwrap());
        })
        .await;
    let (releases, peeks) = (hand_over.releases, hand_over.peeks);
    assert_eq!(
        (releases, hand_over.applies, hand_over.writes),
        (1, 0, 0),
        "{hand_over:?}"
    );
    assert!(peeks <= 1, "{hand_over:?}");
}

#[tokio::test]
async fn to_observe_an_election_costs_no_majority() {
    let counted = Counted::start().await;
    let election = Election::new(&counted.client(0), "e").unwrap();
    let observed = Election::new(&counted.client(1), "e").unwrap();
    let mut observer = observed.observe();
    assert_eq!(soon(observer.next()).await.unwrap(), None);
    let candidate = election.candidate("c", "").unwrap();
    let leadership = soon(candidate.campaign()).await.unwrap();
    counted.quiet().await;
    let observing = counted
        .cost(async {
            assert!(observer.next().await.unwrap().is_some());
            assert!(observed.leader().await.unwrap().is_some());
        })
        .await;
    assert_eq!(observing, Cost::default());
    soon(leadership.resign()).await.unwrap();
}

#[tokio::test]
async fn a_barrier_costs_each_party_the_same_however_many_there_are() {
    let counted = Counted::start().await;
    let clients = [0, 1, 2].map(|site| counted.client(site));
    let mut costs = Vec::new();
    for parties in [2, 8, 32_usize] {
        let name = format!("b{parties}");
        let cost = counted
            .cost(async {
                let waits = (0..parties).map(|party| {
                    let client = &clients[party % 3];
                    let barrier = Barrier::new(client, &name, parties as u64).unwrap();
                    async move { barrier.wait().await.unwrap() }
                });
                join_all(waits).await;
            })
            .await;
        assert_eq!(
            cost.writes,
            parties as u64 + 1,
            "one each, and the announcement"
        );
        costs.push((parties as u64, cost));
    }
    // An enqueue, a read, a write, a release; and for each ticket that comes or
    // goes a look at the queue by each of three nodes, whoever waits there.
    for (parties, cost) in &costs {
        assert!(cost.all() <= 12 * parties, "{costs:?}");
    }
}

#[tokio::test]
async fn what_others_announced_costs_nothing_to_see() {
    let counted = Counted::start().await;
    let [here, there] = [0, 1].map(|site| counted.client(site));
    let [made, seen] = [&here, &there].map(|client| Latch::new(client, "l", 1).unwrap());
    soon(made.count_down()).await.unwrap();
    let once = Once::new(&here, "o").unwrap();
    soon(once.run(async |_| Ok::<u64, ()>(7)))
        .await
        .unwrap()
        .unwrap();
    let known = Once::new(&there, "o").unwrap();
    // Until the news has reached the other site.
    let target = WatchTarget::Record(("recipes", "once/o").into());
    let mut watch = there.watch(&target);
    loop {
        match soon(watch.next()).await.unwrap() {
            WatchEvent::Record(change) if change.record.fields.contains_key("announced") => break,
            _ => {}
        }
    }
    counted.quiet().await;
    let cost = counted
        .cost(async {
            seen.wait().await.unwrap();
            assert_eq!(known.run(async |_| Ok::<u64, ()>(8)).await.unwrap(), Ok(7));
        })
        .await;
    assert_eq!(cost, Cost::default());
}

#[tokio::test]
async fn a_permit_costs_two_sections_and_an_item_one_for_each_step() {
    let counted = Counted::start().await;
    let client = counted.client(0);
    let semaphore = Semaphore::new(&client, "s", 3).unwrap();
    let permit = counted
        .cost(async { semaphore.acquire().await.unwrap().release().await.unwrap() })
        .await;
    assert_eq!(
        (permit.applies, permit.releases, permit.peeks),
        (2, 2, 0),
        "{permit:?}"
    );
    let queue = Queue::new(&client, "q").unwrap();
    let section = Cost {
        applies: 1,
        peeks: 0,
        releases: 1,
        reads: 1,
        writes: 1,
    };
    assert_eq!(
        counted.cost(async { queue.push("x").await.unwrap() }).await,
        section
    );
    let mut taker = queue.taker();
    let mut item = None;
    let take = counted
        .cost(async { item = Some(taker.take().await.unwrap()) })
        .await;
    // The node has used the lane alone so far: it keeps the ticket, and tells the
    // queue so.
    let kept = Cost {
        applies: 2,
        releases: 0,
        ..section
    };
    assert_eq!(take, kept);
    let item = item.unwrap();
    let handed_over = Cost {
        applies: 0,
        reads: 0,
        ..kept
    };
    assert_eq!(
        counted.cost(async { item.done().await.unwrap() }).await,
        handed_over
    );
}
