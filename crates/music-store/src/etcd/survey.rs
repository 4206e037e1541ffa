//! How a deployment of etcd looks from this machine: its members, how far
//! away, and whether a majority of them answers.
//!
//! Facts only: what is wrong with them is judged elsewhere.

use std::time::Duration;

use futures_util::future::join_all;

use super::messages::{
    AlarmRequest, AlarmResponse, MemberListRequest, MemberListResponse, StatusRequest,
    StatusResponse,
};
use super::register::Keys;
use super::wire::Wire;
use super::{EtcdConfig, endpoint};
use crate::connect::ConnectError;
use crate::probe;
use crate::versioned::Failure;

/// How often each member, and a majority, is asked for the time.
const SAMPLES: usize = 3;

/// A deployment of etcd.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The endpoints of the configuration, in its order.
    pub endpoints: Vec<Endpoint>,
    /// How long a read that a majority agrees on takes, as a node does it: the
    /// median of several. Or why there is none.
    pub agreed: Result<Duration, String>,
    /// All members, as one of them lists them; `None` where none does.
    pub members: Option<Vec<Member>>,
    /// The alarms that are raised; `None` where nobody tells.
    pub alarms: Option<Vec<Alarm>>,
}

/// An endpoint of the configuration.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As the configuration has it.
    pub address: String,
    /// What the member there says, or why it does not.
    pub answer: Result<Answer, String>,
}

/// What a member says of itself.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The round trip from here: the median of several.
    pub rtt: Duration,
    /// The version of etcd.
    pub version: String,
    /// Which cluster it belongs to.
    pub cluster: u64,
    /// Its id.
    pub member: u64,
    /// The id of the leader; `None` where it knows of none.
    pub leader: Option<u64>,
    /// The term: grows with each election.
    pub term: u64,
    /// Whether it only learns: it has no vote, and serves no client.
    pub learner: bool,
    /// The size of its database, in bytes.
    pub db_bytes: u64,
    /// The size at which it refuses to write; `None` where it does not tell.
    pub db_bytes_max: Option<u64>,
}

impl Answer {
    /// Its part in the cluster, in etcd's words.
    pub fn role(&self) -> &'static str {
        match self.leader {
            _ if self.learner => "learner",
            None => "no leader",
            Some(leader) if leader == self.member => "leader",
            Some(_) => "follower",
        }
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty where it never started.
    pub name: String,
    /// Where it says that it serves clients.
    pub client_urls: Vec<String>,
    /// Whether it only learns.
    pub learner: bool,
}

/// An alarm of a member: it, or all, refuse to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The member's id.
    pub member: u64,
    /// What is wrong.
    pub kind: AlarmKind,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// The database has reached its quota.
    NoSpace,
    /// The members' data differ.
    Corrupt,
    /// Something that this program does not know.
    Other(i32),
}

/// Connections to each endpoint, to look at the members again and again.
#[derive(Clone)]
pub struct Lookout {
    wires: Vec<(String, std::sync::Arc<Wire>)>,
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.wires.iter().map(|(address, _)| address))
            .finish()
    }
}

impl Lookout {
    /// Prepares connections, which are made when they are needed.
    ///
    /// # Errors
    /// Where an endpoint is not of the form that is expected.
    pub fn new(config: &EtcdConfig) -> Result<Self, ConnectError> {
        let wire = |text: &String| {
            let wire = Wire::new(vec![endpoint(text)?], config.credentials.clone());
            Ok((text.clone(), wire.without_leader().into()))
        };
        let wires = config.endpoints.iter().map(wire);
        Ok(Self {
            wires: wires.collect::<Result<_, _>>()?,
        })
    }

    /// Asks each member once.
    ///
    /// # Cost
    /// Two small requests to each.
    ///
    /// # Cancel safety
    /// It changes nothing.
    pub async fn look(&self) -> Vec<Endpoint> {
        self.ask(1).await
    }

    async fn ask(&self, samples: usize) -> Vec<Endpoint> {
        let endpoints = self.wires.iter().map(|(address, wire)| async move {
            let answers = probe::repeated(samples, || status(wire)).await;
            Endpoint {
                address: address.clone(),
                answer: answers
                    .map(|answers| {
                        let rtt = probe::median(&answers).unwrap_or_default();
                        let last = answers.into_iter().next().map(|timed| timed.answer);
                        answer(last.unwrap_or_default(), rtt)
                    })
                    .map_err(reason),
            }
        });
        join_all(endpoints).await
    }

    /// The first answer that any member gives.
    async fn first<T>(&self, ask: impl AsyncFn(&Wire) -> Result<T, Failure>) -> Option<T> {
        for (address, wire) in &self.wires {
            match ask(wire).await {
                Ok(answer) => return Some(answer),
                Err(failure) => tracing::debug!(address, ?failure, "etcd does not tell"),
            }
        }
        None
    }
}

/// Looks at a deployment.
///
/// # Cost
/// Some small requests to each endpoint, and reads that a majority agrees on.
///
/// # Errors
/// Where the configuration is wrong.
///
/// # Cancel safety
/// It changes nothing.
pub async fn take(config: &EtcdConfig) -> Result<Survey, ConnectError> {
    let lookout = Lookout::new(config)?;
    Ok(Survey {
        endpoints: lookout.ask(SAMPLES).await,
        agreed: agreed(config).await?,
        members: lookout.first(members).await,
        alarms: lookout.first(alarms).await,
    })
}

async fn status(wire: &Wire) -> Result<StatusResponse, Failure> {
    wire.call("/etcdserverpb.Maintenance/Status", StatusRequest {})
        .await
}

fn answer(status: StatusResponse, rtt: Duration) -> Answer {
    let header = status.header.unwrap_or_default();
    Answer {
        rtt,
        version: status.version,
        cluster: header.cluster_id,
        member: header.member_id,
        leader: (status.leader != 0).then_some(status.leader),
        term: status.raft_term,
        learner: status.is_learner,
        db_bytes: u64::try_from(status.db_size).unwrap_or(0),
        db_bytes_max: u64::try_from(status.db_size_quota)
            .ok()
            .filter(|bytes| *bytes > 0),
    }
}

/// Reads below the prefix, through the endpoints as a node uses them.
async fn agreed(config: &EtcdConfig) -> Result<Result<Duration, String>, ConnectError> {
    let endpoints = config.endpoints.iter().map(|text| endpoint(text));
    let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
    let tries = endpoints.len();
    let keys = Keys {
        wire: Wire::new(endpoints, config.credentials.clone()),
        prefix: config.prefix.clone(),
    };
    let read = || keys.range(keys.prefix.clone().into_bytes());
    let mut last = "there are no endpoints".to_owned();
    for _ in 0..tries {
        match probe::repeated(SAMPLES, read).await {
            Ok(answers) => return Ok(Ok(probe::median(&answers).unwrap_or_default())),
            Err(failure) => last = reason(failure),
        }
    }
    Ok(Err(last))
}

async fn members(wire: &Wire) -> Result<Vec<Member>, Failure> {
    let path = "/etcdserverpb.Cluster/MemberList";
    let list: MemberListResponse = wire.call(path, MemberListRequest {}).await?;
    let member = |member: super::messages::Member| Member {
        id: member.id,
        name: member.name,
        client_urls: member.client_urls,
        learner: member.is_learner,
    };
    Ok(list.members.into_iter().map(member).collect())
}

async fn alarms(wire: &Wire) -> Result<Vec<Alarm>, Failure> {
    let path = "/etcdserverpb.Maintenance/Alarm";
    let list: AlarmResponse = wire.call(path, AlarmRequest {}).await?;
    let alarm = |alarm: super::messages::AlarmMember| Alarm {
        member: alarm.member_id,
        kind: match alarm.alarm {
            1 => AlarmKind::NoSpace,
            2 => AlarmKind::Corrupt,
            other => AlarmKind::Other(other),
        },
    };
    Ok(list.alarms.into_iter().map(alarm).collect())
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Unreachable => "it cannot be reached, or has no leader".to_owned(),
        Failure::Unknown => "it does not answer in time".to_owned(),
        Failure::Overloaded => "it is overloaded".to_owned(),
        Failure::Fatal(error) => format!("it refuses: {error}"),
    }
}
