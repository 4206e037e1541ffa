//! A key that is used for long.

use tokio::time::Instant;

use super::cost::{keep_traces, traced};
use super::*;
use crate::conformance::{at, enqueue, field, id, put, ticket};
use crate::table::SYSTEM_TABLE;

/// Enqueue, put or delete a field, release; returns how long it took.
async fn cycle(site: &Cassandra, key: &RecordId, request: u32) -> Duration {
    let begin = Instant::now();
    let holding = ticket(site, key, request.into()).await;
    let change = if request.is_multiple_of(2) {
        put(request.into(), "x")
    } else {
        let fields = [(field("a"), None), (field("b"), Some("y".into()))];
        Record::write(at(request.into()), fields)
    };
    site.write(key, change, Level::Majority).await.unwrap();
    site.release(key, holding).await.unwrap();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// How often the worn key is compared with a new one.
const COMPARISONS: u32 = 10;

/// Uses the worn key and another in turn, so that whatever else the machine
/// does slows both; returns the medians.
async fn compare(site: &Cassandra, worn: (&RecordId, u32), part: u32) -> (Duration, Duration) {
    let (worn, used) = worn;
    let new = id(SYSTEM_TABLE, format!("new after {used}"));
    let (mut of_worn, mut of_new) = (Vec::new(), Vec::new());
    for request in 0..part {
        of_worn.push(cycle(site, worn, used + request).await);
        of_new.push(cycle(site, &new, request).await);
    }
    (median(of_worn), median(of_new))
}

/// "A key used 300,000 times must be as fast as a new one": requests and rows
/// read are what they were. `MUSIC_WEAR_CYCLES` is how often it is used here
/// (3000).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_used_often_costs_what_a_new_one_costs() {
    let deployment = Deployment::open().await;
    let site = &deployment.sites[0];
    let (worn, new) = (id(SYSTEM_TABLE, "worn"), id(SYSTEM_TABLE, "new"));
    let cycles: u32 = setting("MUSIC_WEAR_CYCLES", "3000").parse().unwrap();
    let between = cycles / COMPARISONS;
    // How many the medians are of.
    let part = (between / 2).min(500);
    let requests = site.requests();
    let mut used = 0;
    while used < between * COMPARISONS {
        let (of_worn, of_new) = compare(site, (&worn, used), part).await;
        eprintln!(
            "a cycle of enqueue, put, release, medians of {part} in turn: \
             of a key used {used} times {of_worn:?}, of a new one {of_new:?}"
        );
        for request in used + part..used + between {
            cycle(site, &worn, request).await;
        }
        used += between;
    }
    let compared = COMPARISONS * part;
    assert_eq!(
        site.requests() - requests,
        4 * u64::from(used + compared),
        "three requests a cycle, and a look at the own replica"
    );
    let (of_worn, of_new) = compare(site, (&worn, used), part).await;
    eprintln!("and of one used {used} times {of_worn:?}, of a new one {of_new:?}");
    cycle(site, &new, 0).await;
    cycle(site, &new, 1).await;
    keep_traces(site).await;
    let mut costs = Vec::new();
    for key in [&new, &worn] {
        let (applied, command) = traced(site, site.apply(key, enqueue(1 << 64))).await;
        assert!(applied.is_ok());
        let (queue, peek) = traced(site, site.peek(key)).await;
        assert!(queue.is_ok());
        let (record, read) = traced(site, site.read(key, Level::Majority)).await;
        assert!(record.unwrap().exists());
        assert!(command.rows <= 1 && peek.rows <= 1 && read.rows <= 3);
        costs.push((command.tombstones, peek.tombstones, read.tombstones));
    }
    assert_eq!(costs, [(0, 0, 0); 2]);
}
