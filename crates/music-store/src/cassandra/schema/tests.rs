//! The ids of tables, and what a refusal at the door is taken for.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cassandra::{Credentials, Keyspace};

#[test]
fn the_id_of_a_table_follows_from_its_name() {
    let id = id_of("music.cells_1");
    assert_eq!(id, id_of("music.cells_1"));
    assert_ne!(id, id_of("music.cells_2"));
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert_eq!((&id[14..15], id.len()), ("8", 36));
}

/// Requests and answers of Cassandra's protocol, by their codes.
const STARTUP: u8 = 0x01;
const OPTIONS: u8 = 0x05;
const ERROR: u8 = 0x00;
const AUTHENTICATE: u8 = 0x03;
const SUPPORTED: u8 = 0x06;
const BAD_CREDENTIALS: u32 = 0x0100;

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Answers as a Cassandra with `PasswordAuthenticator` does that knows nobody.
async fn refuse(mut client: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).await?;
        let [_, _, stream_high, stream_low, opcode, length @ ..] = head;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut body).await?;
        let (opcode, body) = match opcode {
            OPTIONS => (SUPPORTED, vec![0, 0]),
            STARTUP => {
                let name = "org.apache.cassandra.auth.PasswordAuthenticator";
                (AUTHENTICATE, text(name))
            }
            _ => {
                let why = text("Provided username music and/or password are incorrect");
                (ERROR, [&BAD_CREDENTIALS.to_be_bytes()[..], &why].concat())
            }
        };
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let head = [0x84, 0, stream_high, stream_low, opcode];
        client
            .write_all(&[&head[..], &length, &body].concat())
            .await?;
    }
}

#[tokio::test]
async fn wrong_credentials_and_none_are_told_from_an_engine_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let door = tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(refuse(client));
        }
    });
    let replication = BTreeMap::from([("ohio".to_owned(), 1)]);
    let keyspace = Keyspace::new("music").unwrap();
    let mut config = Config::new(vec![address], keyspace, "ohio", replication);
    for credentials in [
        None,
        Some(Credentials {
            user: "music".to_owned(),
            password: "wrong".to_owned(),
        }),
    ] {
        config.credentials = credentials;
        let refused = connect(&config).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, OpenError::Credentials(_)), "{refused}");
    }
    door.abort();
    assert!(door.await.unwrap_err().is_cancelled());
    let down = connect(&config).await.map(|_| ()).unwrap_err();
    assert!(matches!(down, OpenError::Unreachable { .. }), "{down}");
}
