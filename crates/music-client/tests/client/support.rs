//! What the tests share.

use std::time::Duration;

use music_client::{Client, Options, RetryPolicy};

/// The time after which a test has failed; nothing waits for it to pass.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what)
        .await
        .expect("it has to happen soon")
}

/// Options without long pauses.
pub(crate) fn quick() -> Options {
    let retry = RetryPolicy {
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(5),
        ..RetryPolicy::default()
    };
    Options {
        retry,
        // No test waits for it.
        majority_timeout: DEADLINE * 2,
        lease: Duration::from_secs(2),
        ..Options::default()
    }
}

/// A client of these nodes.
pub(crate) fn client<const N: usize>(urls: [&str; N]) -> Client {
    Client::new(urls, quick()).unwrap()
}
