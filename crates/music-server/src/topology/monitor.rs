//! How far away the servers of the engines are, measured again and again.
//!
//! One task a node asks each server something small every few seconds, so
//! that a status costs nothing and says how it was a moment ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use music_api::status::{LinkStatus, ServerStatus, SiteStatus};
use music_store::cassandra::Cassandra;
use music_store::cassandra::survey::Seen;
use music_store::connect::ConnectError;
use music_store::etcd::survey::{Endpoint as Member, Lookout};
use music_store::zookeeper::survey::{self as zookeeper, Endpoint as Server, State};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::LocksConfig;

/// How long after one look the next one begins.
const PAUSE: Duration = Duration::from_secs(5);
/// Of how many servers a status tells.
const SERVERS_MAX: usize = 256;
/// Of how many looks the middle round trip is told: one alone says more of
/// what else these machines did.
const LOOKS: usize = 5;

/// What was last seen; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    seen: Arc<Mutex<View>>,
    /// Ends the task when nobody asks any more.
    _life: Arc<DropGuard>,
}

/// The servers, as they were last seen; none before the first look.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Those of Cassandra first.
    pub(super) servers: Vec<ServerStatus>,
}

/// The last round trips to each address, in ms, the latest at the end.
#[derive(Debug, Default)]
struct Recent(BTreeMap<String, VecDeque<f64>>);

/// How the servers of a lock store of its own are asked.
#[derive(Clone, Debug)]
enum Locks {
    Cassandra,
    Etcd(Lookout),
    ZooKeeper(Vec<String>),
}

impl Monitor {
    /// Begins to look. Must be called within a runtime.
    pub(super) fn start(state: Cassandra, locks: &LocksConfig) -> Result<Self, ConnectError> {
        let locks = match locks {
            LocksConfig::Cassandra => Locks::Cassandra,
            LocksConfig::Etcd(etcd) => Locks::Etcd(Lookout::new(etcd)?),
            LocksConfig::ZooKeeper(zookeeper) => Locks::ZooKeeper(zookeeper.endpoints.clone()),
        };
        let seen = Arc::<Mutex<View>>::default();
        let life = CancellationToken::new();
        let task = watch(state, locks, Arc::clone(&seen));
        // Ends with the last of the clones.
        tokio::spawn(life.clone().run_until_cancelled_owned(task));
        Ok(Self {
            seen,
            _life: Arc::new(life.drop_guard()),
        })
    }

    /// What was last seen.
    pub(super) fn view(&self) -> View {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

async fn watch(state: Cassandra, locks: Locks, seen: Arc<Mutex<View>>) {
    let mut recent = Recent::default();
    loop {
        // Drivers' futures are large.
        let (nodes, locks) = tokio::join!(Box::pin(state.look()), Box::pin(locks.look()));
        let servers = nodes.iter().map(node).chain(locks).take(SERVERS_MAX);
        let servers = recent.smooth(servers.collect());
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = View { servers };
        tokio::time::sleep(PAUSE).await;
    }
}

impl Locks {
    async fn look(&self) -> Vec<ServerStatus> {
        match self {
            Self::Cassandra => Vec::new(),
            Self::Etcd(lookout) => {
                let members = lookout.look().await;
                members.into_iter().map(member).collect()
            }
            Self::ZooKeeper(endpoints) => {
                let servers = zookeeper::look(endpoints).await;
                servers.into_iter().map(server).collect()
            }
        }
    }
}

impl Recent {
    /// The same servers, each with the middle one of its last round trips.
    /// Servers that are gone are forgotten.
    fn smooth(&mut self, mut servers: Vec<ServerStatus>) -> Vec<ServerStatus> {
        let mut kept = BTreeMap::new();
        for server in &mut servers {
            let mut last = self.0.remove(&server.address).unwrap_or_default();
            if let Some(rtt) = server.rtt_ms {
                last.push_back(rtt);
                if last.len() > LOOKS {
                    last.pop_front();
                }
                let mut sorted: Vec<f64> = last.iter().copied().collect();
                sorted.sort_by(f64::total_cmp);
                server.rtt_ms = sorted.get(sorted.len() / 2).copied();
            }
            kept.insert(server.address.clone(), last);
        }
        self.0 = kept;
        servers
    }
}

impl View {
    /// The nodes of Cassandra in a data centre.
    fn nodes<'a>(&'a self, datacentre: &'a str) -> impl Iterator<Item = &'a ServerStatus> {
        let servers = self.servers.iter();
        servers.filter(move |server| server.site.as_deref() == Some(datacentre))
    }

    /// The sites of these names, each with whether it is reached; before the
    /// first look, as it is connected.
    pub(super) fn sites(
        &self,
        names: &[String],
        connected: impl Fn(&str) -> bool,
    ) -> Vec<SiteStatus> {
        let site = |name: &String| SiteStatus {
            name: name.clone(),
            running: if self.servers.is_empty() {
                connected(name)
            } else {
                self.nodes(name).any(|node| node.reachable)
            },
        };
        names.iter().map(site).collect()
    }

    /// The links from one of the sites of these names to the others, as far as
    /// they were measured.
    pub(super) fn links(&self, names: &[String], own: &str) -> Vec<LinkStatus> {
        let link = |name: &String| {
            Some(LinkStatus {
                a: own.to_owned(),
                b: name.clone(),
                rtt_ms: self.nodes(name).find_map(|node| node.rtt_ms)?,
                cut_a_to_b: false,
                cut_b_to_a: false,
            })
        };
        let others = names.iter().filter(|name| *name != own);
        others.filter_map(link).collect()
    }
}

fn millis(time: Duration) -> f64 {
    // To a microsecond: more is noise.
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1e3
}

fn node(seen: &Seen) -> ServerStatus {
    ServerStatus {
        engine: "cassandra".to_owned(),
        address: seen.address.to_string(),
        site: Some(seen.datacentre.clone()),
        reachable: seen.reachable,
        rtt_ms: seen.rtt.map(millis),
        role: None,
        version: seen.version.clone(),
    }
}

fn member(member: Member) -> ServerStatus {
    let answer = member.answer.as_ref().ok();
    ServerStatus {
        engine: "etcd".to_owned(),
        address: member.address,
        site: None,
        reachable: answer.is_some(),
        rtt_ms: answer.map(|answer| millis(answer.rtt)),
        role: answer.map(|answer| answer.role().to_owned()),
        version: answer.map(|answer| answer.version.clone()),
    }
}

fn server(server: Server) -> ServerStatus {
    let rtt = server.answer.as_ref().ok().map(|answer| answer.rtt);
    let (role, version) = match server.answer.map(|answer| answer.state) {
        Ok(State::Serves { version, mode }) => (Some(mode), Some(version)),
        Ok(State::NotServing) => (Some("not serving".to_owned()), None),
        Ok(State::Silent) | Err(_) => (None, None),
    };
    ServerStatus {
        engine: "zookeeper".to_owned(),
        address: server.address,
        site: None,
        reachable: rtt.is_some(),
        rtt_ms: rtt.map(millis),
        role,
        version,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn seen(number: u8, datacentre: &str, rtt_us: Option<u64>) -> Seen {
        Seen {
            address: SocketAddr::from(([10, 0, 0, number], 9042)),
            datacentre: datacentre.to_owned(),
            reachable: rtt_us.is_some(),
            rtt: rtt_us.map(Duration::from_micros),
            version: None,
        }
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).into()
    }

    #[test]
    fn a_site_is_reached_while_one_of_its_nodes_is() {
        let seen = [
            seen(1, "a", Some(300)),
            seen(2, "b", None),
            seen(3, "b", Some(54_300)),
        ];
        let view = View {
            servers: seen.iter().map(node).collect(),
        };
        let running: Vec<bool> = view
            .sites(&names(), |_| true)
            .iter()
            .map(|site| site.running)
            .collect();
        assert_eq!(running, [true, true, false]);
        let [link] = &*view.links(&names(), "a") else {
            panic!("one other site was measured");
        };
        assert_eq!((&*link.a, &*link.b), ("a", "b"));
        assert!((link.rtt_ms - 54.3).abs() < 1e-9, "{}", link.rtt_ms);
    }

    #[test]
    fn one_slow_answer_does_not_count_and_five_old_ones_are_forgotten() {
        let mut recent = Recent::default();
        let mut look = |rtt_us| {
            let servers = recent.smooth(vec![node(&seen(1, "a", rtt_us))]);
            servers[0].rtt_ms
        };
        assert_eq!(look(Some(1_000)), Some(1.0));
        look(Some(1_000));
        assert_eq!(look(Some(90_000)), Some(1.0));
        assert_eq!(look(None), None);
        for _ in 0..2 {
            look(Some(3_000));
        }
        assert_eq!(look(Some(3_000)), Some(3.0));
        recent.smooth(Vec::new());
        assert!(recent.0.is_empty());
    }

    #[test]
    fn before_the_first_look_connections_tell() {
        let view = View::default();
        let sites = view.sites(&names(), |name| name == "b");
        assert!(sites[1].running && !sites[2].running);
        assert!(view.links(&names(), "a").is_empty());
    }

    #[test]
    fn a_server_tells_its_part_where_it_may() {
        let answer = |state| Server {
            address: "a:2181".to_owned(),
            answer: Ok(zookeeper::Answer {
                rtt: Duration::from_micros(1_500),
                state,
            }),
        };
        let serving = server(answer(State::Serves {
            version: "3.9.5".to_owned(),
            mode: "leader".to_owned(),
        }));
        assert_eq!(serving.role.as_deref(), Some("leader"));
        assert_eq!(serving.rtt_ms, Some(1.5));
        let silent = server(answer(State::Silent));
        assert!(silent.reachable && silent.role.is_none());
        let down = server(Server {
            address: "a:2181".to_owned(),
            answer: Err("down".to_owned()),
        });
        assert!(!down.reachable && down.rtt_ms.is_none());
    }
}
