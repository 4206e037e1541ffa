//! docs/guide.md: what it shows in Rust is what runs here.

use music_client::recipes::{
    ActivePassive, Barrier, Counter, DoubleBarrier, Election, Group, Latch, MultiLock, Mutex, Once,
    Policy, Push, Queue, Register, Replica, RwLock, Semaphore,
};
use music_client::{Client, Error};

use crate::sites::{Sites, soon};

const GUIDE: &str = include_str!("../../../../docs/guide.md");

async fn values_without_a_lock(client: &Client) -> Result<(), Error> {
    client.put(("kv", "greeting"), "hello").await?;
    let stored = client.get(("kv", "greeting")).await?;
    assert_eq!(stored.unwrap().content.text(), Some("hello"));
    Ok(())
}

async fn a_critical_section(client: &Client) -> Result<(), Error> {
    let alice = ("locks", "alice");
    let section = client.lock([alice]).acquire().await?; // waits for its turn
    let balance = section.get(alice).await?; // what the last holder put
    println!("{balance:?}, under token {}", section.token());
    section.put(alice, "70").await?; // a majority of sites has it now
    section.release().await?;
    Ok(())
}

async fn many_puts(client: &Client) -> Result<(), Error> {
    let section = client
        .lock([("locks", "alice"), ("locks", "bob")])
        .acquire()
        .await?;
    section
        .put_all([(("locks", "alice"), "70"), (("locks", "bob"), "130")])
        .await?;
    section.release().await?;
    Ok(())
}

async fn when_it_goes_wrong(client: &Client) -> Result<(), Error> {
    let section = client.lock([("locks", "ship")]).acquire().await?;
    let work = async { /* what must not go on without the lock */ };
    match section.run(work).await {
        Ok(()) => section.release().await?,
        Err(lost) => println!("dropped in the middle: {lost}"),
    }
    Ok(())
}

async fn mutex(client: &Client) -> Result<(), Error> {
    let report = Mutex::new(client, "report");
    let guard = report.lock().await?; // also: try_lock, lock_within
    let last = guard.load().await?; // what the last holder stored
    println!("{last:?}, under token {}", guard.token());
    guard.store("done").await?;
    guard.unlock().await?;
    Ok(())
}

async fn reader_writer_lock(client: &Client) -> Result<(), Error> {
    let settings = RwLock::new(client, "settings");
    let writer = settings.write().await?; // alone
    writer.store("blue").await?;
    writer.unlock().await?;
    let reader = settings.read().await?; // beside other readers
    assert_eq!(reader.load().await?.unwrap().content.text(), Some("blue"));
    reader.unlock().await?;
    Ok(())
}

async fn several_keys_at_once(client: &Client) -> Result<(), Error> {
    let both = MultiLock::new(client, ["alice", "bob"]).lock().await?;
    both.put(("locks", "alice"), "70").await?;
    both.put(("locks", "bob"), "130").await?;
    both.unlock().await?;
    Ok(())
}

async fn semaphore(client: &Client) -> Result<(), Error> {
    let exports = Semaphore::new(client, "exports", 3)?; // all name the same number
    let permit = exports.acquire().await?;
    println!("under token {}", permit.token());
    permit.release().await?;
    Ok(())
}

async fn leader_election(client: &Client) -> Result<(), Error> {
    let election = Election::new(client, "scheduler")?;
    let candidate = election.candidate("ohio-1", "http://10.0.0.7:8080")?;
    let leadership = candidate.campaign().await?;
    let seen = election.leader().await?.unwrap(); // asks the nearest replica only
    assert_eq!(&seen, leadership.leader());
    leadership.resign().await?; // or: hand_over("oregon-1")
    Ok(())
}

async fn active_passive_replicas(client: &Client) -> Result<(), Error> {
    let billing = ActivePassive::new(client, "billing", 1)?;
    let billing = billing.policy(Policy::sites(["ohio", "oregon"]));
    let replica = Replica::new("billing-7", "ohio").load(3);
    let mut standby = billing.join(replica).await?;
    let active = standby.activate().await?; // waits for its turn
    println!("slot {}, state {:?}", active.slot(), active.state().await?);
    active.save("up to order 4711").await?; // for whoever is next
    active.step_down().await?;
    standby.leave().await?;
    Ok(())
}

async fn barrier(client: &Client) -> Result<(), Error> {
    let crossing = Barrier::new(client, "phase", 1)?.wait().await?; // all name the same number
    println!("all are here, for the {}th time", crossing.number);
    let mut together = DoubleBarrier::new(client, "measure", 1)?;
    together.enter().await?; // begin together
    together.leave().await?; // end together
    Ok(())
}

async fn count_down_latch(client: &Client) -> Result<(), Error> {
    let migrated = Latch::new(client, "migrated", 1)?; // all name the same number
    migrated.count_down().await?;
    migrated.wait().await?; // asks no majority
    Ok(())
}

async fn counter_and_register(client: &Client) -> Result<(), Error> {
    let visits = Counter::new(client, "visits")?;
    let before = visits.add(3).await?;
    assert!(visits.compare_and_set(before + 3, 0).await?.is_ok());
    let plan = Register::new(client, "plan")?;
    let (version, _) = plan.get().await?;
    assert_eq!(plan.compare_and_set(version, "new").await?, Ok(version + 1));
    Ok(())
}

async fn work_queue(client: &Client) -> Result<(), Error> {
    let mails = Queue::new(client, "mails")?;
    mails.push("to: alice").await?;
    mails.push_all([Push::new("to: bob").priority(9)]).await?; // also: delay
    let mut taker = mails.taker();
    let item = taker.take().await?; // bob's: it is more urgent
    println!("{:?}, under token {}", item.content(), item.token());
    item.done().await?;
    taker.take().await?.done().await?;
    Ok(())
}

async fn group(client: &Client) -> Result<(), Error> {
    let workers = Group::new(client, "workers")?;
    let me = workers.join("ohio-1", "http://10.0.0.7:8080").await?;
    assert_eq!(workers.list().await?[0].name, "ohio-1"); // members() tells as it changes
    me.leave().await?;
    Ok(())
}

async fn once(client: &Client) -> Result<(), Error> {
    let invoice = Once::new(client, "invoice-2026-11")?;
    let number = invoice.run(async |_token| Ok::<u64, Error>(4711)).await??;
    let again = invoice.run(async |_token| Ok::<u64, Error>(4712)).await??;
    assert_eq!((number, again), (4711, 4711));
    Ok(())
}

/// Runs what the guide shows, each in three sites of its own.
macro_rules! run {
    ($($snippet:ident),* $(,)?) => {
        #[tokio::test]
        async fn each_snippet_does_what_it_says() {
            $(
                let sites = Sites::start().await;
                let ended = soon($snippet(&sites.client(&[0, 1]))).await;
                assert!(ended.is_ok(), concat!(stringify!($snippet), ": {:?}"), ended);
            )*
        }
    };
}

run!(
    values_without_a_lock,
    a_critical_section,
    many_puts,
    when_it_goes_wrong,
    mutex,
    reader_writer_lock,
    several_keys_at_once,
    semaphore,
    leader_election,
    active_passive_replicas,
    barrier,
    count_down_latch,
    counter_and_register,
    work_queue,
    group,
    once,
);

/// The Rust snippets of the guide, a line each, without indentation.
fn snippets() -> Vec<Vec<&'static str>> {
    let blocks = GUIDE.split("```rust\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks
        .map(|block| block.lines().map(str::trim).collect())
        .collect()
}

#[test]
fn the_guide_quotes_this_file() {
    let own: Vec<&str> = include_str!("guide.rs").lines().map(str::trim).collect();
    let snippets = snippets();
    assert!(snippets.len() > 10);
    for snippet in snippets {
        assert!(
            own.windows(snippet.len()).any(|lines| lines == snippet),
            "not run as it is shown:\n{}",
            snippet.join("\n")
        );
    }
}
