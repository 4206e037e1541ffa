//! A way to a donor on which something happens in the middle of a snapshot.

use std::net::SocketAddr;
use std::sync::Arc;

use mdbc::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::process::{Life, restored_from, soon};

/// What passes before something happens: more than a head, less than a snapshot, and
/// not whole pieces.
const BYTES: u64 = (1 << 20) + (1 << 17);

/// What happens to a connection in the middle of a snapshot.
#[derive(Clone)]
pub(crate) enum Middle {
    Ends,
    /// Nothing comes any more.
    Stalls(Arc<Notify>),
    /// A byte is another one.
    Spoils,
}

/// A way to a donor on which something happens in the middle.
pub(crate) async fn way_to(donor: SocketAddr, middle: Middle) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, donor, middle.clone()));
        }
    });
    address
}

/// Starts a site that restores itself, and kills it in the middle of the snapshot.
pub(crate) async fn killed_in_the_middle(config: &Config, donor: SocketAddr) {
    let stalled = Arc::new(Notify::new());
    let slow = way_to(donor, Middle::Stalls(Arc::clone(&stalled))).await;
    let slowly = restored_from(config.clone(), vec![slow.to_string()]);
    let killed = tokio::spawn(async move { Life::try_start(&slowly).await.map(drop) });
    soon(stalled.notified()).await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
}

async fn pass(mut client: TcpStream, donor: SocketAddr, middle: Middle) {
    let mut server = TcpStream::connect(donor).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let asked = async { copy(&mut from_client, &mut to_server).await.map(drop) };
    let answered = async {
        let mut some = from_server.take(BYTES);
        let passed = copy(&mut some, &mut to_client).await?;
        to_client.flush().await?;
        if let (Middle::Stalls(stalled), BYTES) = (&middle, passed) {
            stalled.notify_one();
            std::future::pending::<()>().await;
        }
        if let (Middle::Spoils, BYTES) = (&middle, passed) {
            let mut rest = some.into_inner();
            let byte = rest.read_u8().await?;
            to_client.write_u8(byte ^ 1).await?;
            copy(&mut rest, &mut to_client).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    // A client that ends is no failure of the way.
    let _ended: std::io::Result<()> = tokio::select! {
        asked = asked => asked,
        answered = answered => answered,
    };
}
