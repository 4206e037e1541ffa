//! A proxy that loses answers when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes bytes on to a node, and loses some of its answers.
pub(crate) struct Proxy {
    pub(crate) url: String,
    /// How many answers are still to be lost.
    lose: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of a node.
    pub(crate) async fn start(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lose = Arc::new(AtomicUsize::new(0));
        let (node, losing) = (
            node.trim_start_matches("http://").to_owned(),
            Arc::clone(&lose),
        );
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, node.clone(), Arc::clone(&losing)));
            }
        });
        Self { url, lose, task }
    }

    /// From now on loses that many answers: the node has done what it was
    /// asked by then, and the client's connection is closed.
    pub(crate) fn lose_answers(&self, count: usize) {
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

async fn pass(client: TcpStream, node: String, lose: Arc<AtomicUsize>) {
    let Ok(node) = TcpStream::connect(node).await else {
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
            let one_less = |left: usize| left.checked_sub(1);
            if lose
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_ok()
            {
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
