//! Clients that are killed after each of their requests.

use std::time::Duration;

use futures_util::future::join_all;
use music_client::Client;

use crate::proxy::Proxy;
use crate::sites::{Sites, client_with_lease, soon};

/// How long a client that is killed may go unheard.
const LEASE: Duration = Duration::from_millis(400);

/// How many lives there are at a time.
const AT_A_TIME: usize = 4;

/// The most requests that a client of these tests makes.
const REQUESTS_MAX: usize = 64;

/// Lets a client do something, and kills it after each number of answers that
/// it had, until it ends before. Each is given a name of its own, and what its
/// end left is checked, by the others, under that name.
pub(crate) async fn killed_everywhere<T>(
    sites: &Sites,
    act: impl AsyncFn(Client, String) -> T,
    check: impl AsyncFn(String, T),
) {
    // Several lives at a time: most of each is waiting for leases.
    let mut deaths = 0;
    for first in (0..REQUESTS_MAX).step_by(AT_A_TIME) {
        let lives = (first..first + AT_A_TIME).map(|answers| live(sites, answers, &act, &check));
        let killed = join_all(lives).await;
        deaths += killed.iter().filter(|killed| **killed).count();
        if killed.contains(&false) {
            assert!(deaths > 1, "it was killed in the middle");
            return;
        }
    }
    panic!("it goes on and on");
}

/// Lives until so many answers have come. Returns whether it was killed.
async fn live<T>(
    sites: &Sites,
    answers: usize,
    act: impl AsyncFn(Client, String) -> T,
    check: impl AsyncFn(String, T),
) -> bool {
    let name = format!("killed-after-{answers}");
    let proxy = Proxy::start(&sites.urls[0]).await;
    let client = client_with_lease([proxy.url.clone()], LEASE);
    proxy.cut_after(answers);
    let ended = soon(act(client.clone(), name.clone())).await;
    let killed = proxy.is_cut();
    drop(proxy);
    soon(check(name, ended)).await;
    killed
}
