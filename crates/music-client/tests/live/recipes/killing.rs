//! Clients that are killed after each of their requests.

use std::time::Duration;

use music_client::Client;

use crate::proxy::Proxy;
use crate::sites::{Sites, client_with_lease, soon};

/// How long a client that is killed may go unheard.
const LEASE: Duration = Duration::from_millis(400);

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
    for answers in 0..REQUESTS_MAX {
        let name = format!("killed-after-{answers}");
        let proxy = Proxy::start(&sites.urls[0]).await;
        let client = client_with_lease([proxy.url.clone()], LEASE);
        proxy.cut_after(answers);
        let ended = soon(act(client.clone(), name.clone())).await;
        let killed = proxy.is_cut();
        drop(proxy);
        soon(check(name, ended)).await;
        if !killed {
            assert!(answers > 1, "it was killed somewhere");
            return;
        }
    }
    panic!("it goes on and on");
}
