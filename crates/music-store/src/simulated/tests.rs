use crate::conformance::Harness;

use super::*;

/// Sites a millisecond apart, on a network as it is in fair weather.
struct Fair(Deployment);

fn open(weather: network::Weather) -> Fair {
    let network = Network::new(3, 1, |from, to| {
        Duration::from_millis(u64::from(from != to))
    });
    network.set_weather(weather);
    Fair(Deployment::start(3, network))
}

impl Harness for Fair {
    type Store = Site;

    fn sites(&self) -> Vec<Site> {
        (0..3).map(|index| self.0.site(index)).collect()
    }

    async fn settled(&self) {
        self.0.settled().await;
    }

    fn set_isolated(&self, site: usize, isolated: bool) -> bool {
        self.0.network().set_isolated(site, isolated);
        true
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.0.advance(id, lock_ref);
        true
    }

    async fn restart(&self, site: usize) -> bool {
        self.0.crash(site);
        for _ in 0..site * 10 {
            tokio::task::yield_now().await;
        }
        self.0.restart(site);
        true
    }

    /// Every message takes a millisecond, and every command is a transaction.
    fn waiters(&self) -> usize {
        300
    }
}

mod fair {
    use super::*;

    crate::conformance_tests!(async { open(network::Weather::CALM) });
}

mod stormy {
    use super::*;

    crate::conformance_tests!(async {
        open(network::Weather {
            lost: 0.0,
            twice: 0.2,
            late: 0.1,
            late_max: Duration::from_millis(30),
            jitter: 2.0,
        })
    });
}
