//! A proxy that loses answers when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Passes bytes on to a node, and loses some of its answers.
pub(crate) struct Proxy {
    pub(crate) url: String,
    /// How many answers are still to be lost.
    lose: Arc<AtomicUsize>,
    /// How many are passed on before.
    before: Arc<AtomicUsize>,
    /// How many answers are passed on before everything is cut.
    left: Arc<AtomicUsize>,
    cut: CancellationToken,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of a node.
    pub(crate) async fn start(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lose = Arc::new(AtomicUsize::new(0));
        let before = Arc::new(AtomicUsize::new(0));
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let cut = CancellationToken::new();
        let passage = Passage {
            node: node.trim_start_matches("http://").to_owned(),
            lose: Arc::clone(&lose),
            before: Arc::clone(&before),
            left: Arc::clone(&left),
            cut: cut.clone(),
        };
        let serve = async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(passage.clone().pass(client));
            }
        };
        let stop = cut.clone();
        // With it, its connections end.
        let task = tokio::spawn(async move {
            stop.run_until_cancelled(serve).await;
        });
        Self {
            url,
            lose,
            before,
            left,
            cut,
            task,
        }
    }

    /// Cuts everything, for good, when so many more answers were passed on: to
    /// the node it is as if the client were killed there.
    pub(crate) fn cut_after(&self, answers: usize) {
        self.left.store(answers, Ordering::SeqCst);
    }

    /// Whether everything was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// From now on loses that many answers: the node has done what it was
    /// asked by then, and the client's connection is closed.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.lose.store(count, Ordering::SeqCst);
    }

    /// Loses that many answers after so many others.
    pub(crate) fn lose_answers_after(&self, others: usize, count: usize) {
        self.before.store(others, Ordering::SeqCst);
        self.lose.store(count, Ordering::SeqCst);
    }

    /// How many answers are still to be lost.
    pub(crate) fn to_be_lost(&self) -> usize {
        self.lose.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection is passed through.
#[derive(Clone)]
struct Passage {
    node: String,
    lose: Arc<AtomicUsize>,
    before: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    cut: CancellationToken,
}

impl Passage {
    async fn pass(self, client: TcpStream) {
        let Ok(node) = TcpStream::connect(&self.node).await else {
            return;
        };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_node, mut to_node) = node.into_split();
        let asks = async {
            copy(&mut from_client, &mut to_node)
                .await
                .map(drop)
                .unwrap_or_default();
        };
        let answers = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_node.read(&mut buffer).await {
                if !one_less(&self.before) && one_less(&self.lose) {
                    return;
                }
                if self.left.load(Ordering::SeqCst) != usize::MAX && !one_less(&self.left) {
                    self.cut.cancel();
                    return;
                }
                if to_client.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = asks => {}
            () = answers => {}
        }
    }
}

/// Takes one, if there is any.
fn one_less(count: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}
