//! Transactions that another data centre coordinates.

use super::*;
use crate::cassandra::coordinators::round;
use crate::cassandra::pleas;
use crate::cassandra::register::{Contents, Place, Register};
use crate::cassandra::session::Via;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_round_of_every_data_centre_is_measured() {
    let deployment = Deployment::open().await;
    for site in &deployment.sites {
        for datacentre in datacentres() {
            let round = round(&site.inner.cql, &datacentre).await;
            assert!(round.is_some(), "{datacentre}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_data_centre_has_coordinated_is_seen_by_all() {
    let deployment = Deployment::open().await;
    let names = datacentres();
    let place = Place {
        table_id: 0,
        key: b"coordinated".to_vec(),
    };
    let add = |value: &mut u32, _| *value += 1;
    for (count, name) in (1..).zip(&names) {
        let cql = &deployment.sites[0].inner.cql;
        cql.coordinators.prefer(name);
        let register = Register::new(cql, &place).via(Via::Nearest);
        let seen = register.read().await.unwrap();
        let done = register.transact(seen, Duration::from_mins(1), add).await;
        assert_eq!(done.unwrap().contents.state.value, count);
        for site in &deployment.sites {
            let register = Register::new(&site.inner.cql, &place);
            let read: Contents<u32> = register.read().await.unwrap();
            assert_eq!(read.state.value, count, "through {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plea_is_heard_at_every_site_and_changes_no_register() {
    let deployment = Deployment::open().await;
    let place = Place {
        table_id: 0,
        key: b"pleaded".to_vec(),
    };
    let cql = &deployment.sites[0].inner.cql;
    assert_eq!(pleas::last(cql, &place).await.unwrap(), None);
    pleas::plead(cql, &place, 7).await.unwrap();
    for site in &deployment.sites {
        let cql = &site.inner.cql;
        // It comes a little later.
        while pleas::last(cql, &place).await.unwrap() != Some(7) {
            tokio::task::yield_now().await;
        }
        let read: Contents<u32> = Register::new(cql, &place).read().await.unwrap();
        assert_eq!(read, Contents::default());
    }
}
