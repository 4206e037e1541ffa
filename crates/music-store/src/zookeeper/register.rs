//! A register is a znode; its version is the znode's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use music_core::id::RecordId;
use tokio::time::timeout;
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error as Refusal, EventType, MultiWriteResult,
    SessionState, Stat,
};

use super::Credentials;
use crate::versioned::{Failure, Register, Swapped, Version, Versioned};

/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long a session may take to begin at one server.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// How long a session outlives its connection. Nothing of ours depends on it.
const SESSION_TIME: Duration = Duration::from_secs(6);
/// Any version will do.
const ANY: i32 = -1;
/// The version after which a znode has the number of [`ANY`]: after 2^31
/// writes it is negative, and goes on.
const BEFORE_ANY: i32 = ANY - 1;

/// The znodes below one.
pub(super) struct Znodes {
    /// Servers as `host:port`, the preferred one first.
    servers: Vec<String>,
    root: String,
    credentials: Option<Credentials>,
    /// The session in use.
    session: Mutex<Option<Client>>,
    /// Held while a session begins, so that one does.
    begin: tokio::sync::Mutex<()>,
}

impl Znodes {
    pub(super) fn new(
        servers: Vec<String>,
        root: String,
        credentials: Option<Credentials>,
    ) -> Self {
        Self {
            servers,
            root,
            credentials,
            session: Mutex::default(),
            begin: tokio::sync::Mutex::default(),
        }
    }

    /// `<root>/<table, 16 hexadecimal digits>-<the key in hexadecimal>`: flat,
    /// so that a new key is one request.
    fn path(&self, id: &RecordId) -> String {
        use std::fmt::Write as _;
        let mut path = format!("{}/{:016x}-", self.root, id.table.0);
        for byte in id.key.as_bytes() {
            // Writing to a string does not fail.
            let _always: std::fmt::Result = write!(path, "{byte:02x}");
        }
        path
    }

    fn acls(&self) -> Acls<'static> {
        match self.credentials {
            Some(_) => Acls::creator_all(),
            None => Acls::anyone_all(),
        }
    }

    fn options(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls())
    }

    /// The session in use, unless it is cut off or over.
    fn present_session(&self) -> Option<Client> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.as_ref().is_some_and(|client| !is_connected(client)) {
            *session = None;
        }
        session.clone()
    }

    fn leave(&self) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The session in use, or a new one at the first server that answers. A
    /// new session costs nothing but time: there is nothing of ours in one.
    pub(super) async fn session(&self) -> Result<Client, Failure> {
        if let Some(client) = self.present_session() {
            return Ok(client);
        }
        let _one = self.begin.lock().await;
        if let Some(client) = self.present_session() {
            return Ok(client);
        }
        for server in &self.servers {
            let mut connector = Client::connector().with_session_timeout(SESSION_TIME);
            if let Some(credentials) = &self.credentials {
                let identity = format!("{}:{}", credentials.user, credentials.password);
                connector = connector.with_auth("digest", identity.as_bytes());
            }
            let connecting = connector.with_fail_eagerly().connect(server);
            let Ok(Ok(client)) = timeout(CONNECT_TIME, connecting).await else {
                tracing::debug!(server, "ZooKeeper does not answer");
                continue;
            };
            let options = self.options();
            let made = client.mkdir(&self.root, &options);
            match timeout(REQUEST_TIME, made).await {
                Ok(Ok(())) => {
                    let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
                    *session = Some(client.clone());
                    return Ok(client);
                }
                Ok(Err(refusal)) => match classify(refusal) {
                    Failure::Unknown => {}
                    failure => return Err(failure),
                },
                Err(_elapsed) => {}
            }
        }
        Err(Failure::Unreachable)
    }

    /// Waits for an answer; without one the next request gets a new session.
    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let answer = timeout(REQUEST_TIME, request).await;
        let answer = answer.unwrap_or(Err(Failure::Unknown));
        if let Err(Failure::Unknown | Failure::Unreachable) = answer {
            self.leave();
        }
        answer
    }

    /// Marks a refusal. Nobody waits for it: a lost mark costs time only.
    fn mark(&self, client: &Client, path: &str) {
        let child = format!("{path}/refused");
        let mut mark = client.new_multi_writer();
        let added = mark.add_create(&child, &[], &self.options());
        if added.and_then(|()| mark.add_delete(&child, None)).is_ok() {
            // It is sent already; only its answer is not waited for.
            drop(mark.commit());
        }
    }

    /// Writes a znode twice in one step, so that nobody sees the version in
    /// between. A write that is to replace that one would replace any.
    async fn write_past(
        &self,
        client: &Client,
        path: &str,
        version: i32,
        bytes: &[u8],
    ) -> Result<Stat, Refusal> {
        let mut both = client.new_multi_writer();
        // Two values may be too much for one request.
        both.add_set_data(path, &[], Some(version))?;
        both.add_set_data(path, bytes, None)?;
        match both.commit().await?.pop() {
            Some(MultiWriteResult::SetData { stat }) => Ok(stat),
            _ => Err(Refusal::ConnectionLoss),
        }
    }

    /// Writes or creates a znode; `None` where its version is another one.
    async fn write(
        &self,
        client: &Client,
        path: &str,
        version: Option<i32>,
        bytes: &[u8],
    ) -> Result<Option<Stat>, Failure> {
        let written = match version {
            Some(BEFORE_ANY) => self.write_past(client, path, BEFORE_ANY, bytes).await,
            Some(_) => client.set_data(path, bytes, version).await,
            None => {
                let created = client.create(path, bytes, &self.options()).await;
                created.map(|(stat, _)| stat)
            }
        };
        match (written, version) {
            (Ok(stat), _) => Ok(Some(stat)),
            (Err(Refusal::BadVersion | Refusal::NodeExists), _)
            | (Err(Refusal::NoNode), Some(_)) => Ok(None),
            // The root is gone: a new session makes it again.
            (Err(Refusal::NoNode), None) => Err(Failure::Unreachable),
            (Err(refusal), _) => Err(classify(refusal)),
        }
    }
}

fn is_connected(client: &Client) -> bool {
    client.state() == SessionState::SyncConnected
}

impl Register for Znodes {
    /// `sync` would not do: a leader that was cut off answers it without asking
    /// anybody. A transaction that only checks is agreed on by a majority, and
    /// the same session's read after it sees no less.
    async fn read(&self, id: &RecordId) -> Result<Versioned, Failure> {
        let client = self.session().await?;
        let path = self.path(id);
        let request = async {
            let mut agreed = client.new_multi_writer();
            agreed
                .add_check_version(&self.root, ANY)
                .map_err(classify)?;
            // Both are sent before the first is answered.
            let (agreed, read) = (agreed.commit(), client.get_data(&path));
            agreed.await.map_err(|refusal| classify(refusal.into()))?;
            value(read.await)
        };
        self.within(request).await
    }

    /// One write; where the version is another one, a read from the same
    /// server, which has seen the write refused.
    ///
    /// The mark of a refusal is a child that is made and deleted in one step:
    /// nothing is left of it but the znode's `pzxid`, which a write answers.
    async fn swap(
        &self,
        id: &RecordId,
        version: Option<Version>,
        bytes: Bytes,
    ) -> Result<Swapped, Failure> {
        let client = self.session().await?;
        let path = self.path(id);
        // It came from a znode, whose versions are of this size.
        let version = version.map(|version| i32::try_from(version.number).unwrap_or(i32::MAX));
        let request = async {
            let written = self.write(&client, &path, version, &bytes).await?;
            if let Some(stat) = written {
                return Ok(Swapped::Done {
                    version: version_of(&stat),
                    refused: stat.pzxid,
                });
            }
            let read = client.get_data(&path);
            self.mark(&client, &path);
            Ok(Swapped::Refused(value(read.await)?))
        };
        self.within(request).await
    }

    async fn follow(&self, id: &RecordId, changed: impl Fn(Versioned) + Send + Sync) -> Failure {
        let path = self.path(id);
        loop {
            let client = match self.session().await {
                Ok(client) => client,
                Err(failure) => return failure,
            };
            let watcher = match client.get_and_watch_data(&path).await {
                Ok((bytes, stat, watcher)) => {
                    changed(versioned(bytes, &stat));
                    watcher
                }
                Err(Refusal::NoNode) => match client.check_and_watch_stat(&path).await {
                    Ok((None, watcher)) => {
                        changed(Versioned::default());
                        watcher
                    }
                    // It was created in between.
                    Ok((Some(_), _)) => continue,
                    Err(refusal) => return classify(refusal),
                },
                Err(refusal) => return classify(refusal),
            };
            if watcher.changed().await.event_type == EventType::Session {
                return Failure::Unreachable;
            }
        }
    }
}

fn value(read: Result<(Vec<u8>, Stat), Refusal>) -> Result<Versioned, Failure> {
    match read {
        Ok((bytes, stat)) => Ok(versioned(bytes, &stat)),
        Err(Refusal::NoNode) => Ok(Versioned::default()),
        Err(refusal) => Err(classify(refusal)),
    }
}

fn version_of(stat: &Stat) -> Version {
    Version {
        at: stat.mzxid,
        number: stat.version.into(),
    }
}

fn versioned(bytes: Vec<u8>, stat: &Stat) -> Versioned {
    Versioned {
        version: Some(version_of(stat)),
        bytes: bytes.into(),
    }
}

/// What a refusal says about the effect; unknown where it says nothing.
fn classify(refusal: Refusal) -> Failure {
    tracing::debug!(%refusal, "ZooKeeper refused a request");
    match refusal {
        Refusal::Throttled => Failure::Overloaded,
        Refusal::NoAuth
        | Refusal::AuthFailed
        | Refusal::InvalidAcl
        | Refusal::QuotaExceeded
        | Refusal::NoChildrenForEphemerals
        | Refusal::BadArguments(_)
        | Refusal::Unimplemented => Failure::Fatal(Arc::new(refusal)),
        _ => Failure::Unknown,
    }
}

#[cfg(all(test, feature = "live-engines"))]
mod live {
    use music_core::id::RecordId;

    use super::*;
    use crate::conformance::key;

    /// Below a znode that no test had before.
    fn znodes() -> (Znodes, RecordId) {
        let root = format!("/music/test-{:016x}", rand::random::<u64>());
        let servers = ["127.0.0.31:2181", "127.0.0.32:2181"].map(str::to_owned);
        (Znodes::new(servers.to_vec(), root, None), key("key"))
    }

    /// What happens at version -2, at another: nobody waits for 2^32 writes.
    #[tokio::test]
    async fn a_write_past_a_version_leaves_no_room_for_another() {
        let (znodes, id) = znodes();
        let Ok(Swapped::Done { version, .. }) = znodes.swap(&id, None, "first".into()).await else {
            panic!("it was not created")
        };
        let (client, path) = (znodes.session().await.unwrap(), znodes.path(&id));
        let past = |version| znodes.write_past(&client, &path, version, b"second");
        let wrong = past(i32::try_from(version.number).unwrap() + 1).await;
        assert_eq!(wrong.unwrap_err(), Refusal::BadVersion);
        let stat = past(i32::try_from(version.number).unwrap()).await.unwrap();
        assert_eq!(i64::from(stat.version), version.number + 2);
        let read = znodes.read(&id).await.unwrap();
        assert_eq!(
            (read.version, &read.bytes[..]),
            (Some(version_of(&stat)), &b"second"[..])
        );
        let refused = znodes.swap(&id, Some(version), "late".into()).await;
        assert!(matches!(refused, Ok(Swapped::Refused(seen)) if seen == read));
    }
}
