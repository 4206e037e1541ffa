//! Connections: HTTP/2, limits, slow and broken requests, the end of a node.

use std::time::Duration;

use music_server::config::{Config, Overrides};
use music_server::serve::NodeServer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::Fixture;

const DEADLINE: Duration = Duration::from_secs(30);

/// A node with settings of its own.
async fn node(settings: &str) -> NodeServer {
    let text = format!(
        "site = 'a'\nlisten = '127.0.0.1:0'\n\
         tables = [{{ name = 'kv', mode = 'eventual' }}, {{ name = 'locks', mode = 'critical' }}]\n\
         {settings}"
    );
    let config = Config::parse(&text, |_| None, &Overrides::default()).unwrap();
    NodeServer::open(config).await.unwrap()
}

async fn connect(node: &NodeServer) -> TcpStream {
    TcpStream::connect(node.address()).await.unwrap()
}

/// All that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // A reset after the answer is as good as an end.
    drop(tokio::time::timeout(DEADLINE, read).await.unwrap());
    String::from_utf8(bytes).unwrap()
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let length = tokio::time::timeout(DEADLINE, stream.read(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_to_who_knows_so_before() {
    let fixture = Fixture::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("{}/v1/tables/kv/keys/a", fixture.url(0));
    let put = client.put(&url).body("x").send().await.unwrap();
    assert_eq!(
        (put.version(), put.status().as_u16()),
        (reqwest::Version::HTTP_2, 200)
    );
    assert_eq!(
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        "x"
    );
    let none = client.get(format!("{url}/none")).send().await.unwrap();
    assert_eq!(none.headers()["content-type"], "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let node = node("[limits]\nhead_timeout_ms = 50").await;
    for part in ["", "GET", "PRI * HTTP/2", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = connect(&node).await;
        stream.write_all(part.as_bytes()).await.unwrap();
        let told = rest(&mut stream).await;
        assert!(
            told.is_empty() || told.starts_with("HTTP/1.1 408"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_refused() {
    let node = node("[limits]\nbody_timeout_ms = 50").await;
    let mut stream = connect(&node).await;
    let put = "PUT /v1/tables/kv/keys/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    let told = answer(&mut stream, put).await;
    assert!(
        told.starts_with("HTTP/1.1 408") && told.contains("MUSIC-1019"),
        "{told}"
    );
    let get = "GET /v1/tables/kv/keys/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut stream = connect(&node).await;
    stream.write_all(get.as_bytes()).await.unwrap();
    assert!(
        rest(&mut stream).await.contains("MUSIC-2004"),
        "nothing was put"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_request_whose_client_leaves_harms_nobody() {
    let node = node("").await;
    for _ in 0..20 {
        let mut stream = connect(&node).await;
        let put = "PUT /v1/tables/kv/keys/a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(put.as_bytes()).await.unwrap();
    }
    let mut stream = connect(&node).await;
    assert!(
        answer(&mut stream, HEALTH)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_beyond_the_limit_and_no_http_at_all_are_refused() {
    let node = node("").await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: 1\r\n".repeat(200)
    );
    for request in [
        &long,
        &many,
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\0\0\0\0",
    ] {
        let mut stream = connect(&node).await;
        // The node may close before all of it is sent.
        drop(stream.write_all(request.as_bytes()).await);
        drop(stream.shutdown().await);
        let told = rest(&mut stream).await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");
    }
    let mut stream = connect(&node).await;
    assert!(
        answer(&mut stream, HEALTH)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so() {
    let node = node("[limits]\nconnections_max = 1").await;
    let mut first = connect(&node).await;
    answer(&mut first, HEALTH).await;
    let told = rest(&mut connect(&node).await).await;
    assert!(
        told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"),
        "{told}"
    );
    assert!(answer(&mut first, HEALTH).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_too_many_is_told_so_but_health_is_told_always() {
    let node = node("[limits]\nin_flight_max = 1").await;
    let mut first = connect(&node).await;
    // Its handler has begun once it asks for the body.
    let head = "PUT /v1/tables/kv/keys/a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\
                expect: 100-continue\r\n\r\n";
    assert!(answer(&mut first, head).await.starts_with("HTTP/1.1 100"));
    let mut second = connect(&node).await;
    let get = "GET /v1/tables HTTP/1.1\r\nhost: a\r\n\r\n";
    let told = answer(&mut second, get).await;
    assert!(
        told.starts_with("HTTP/1.1 503")
            && told.contains("MUSIC-4004")
            && told.contains("retry-after: 1"),
        "{told}"
    );
    assert!(
        answer(&mut second, HEALTH)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(answer(&mut first, "half").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_too_many_is_told_so() {
    let node = node("[limits]\nwatchers_max = 1").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/watch?table=kv", node.address());
    let first = client.get(&url).send().await.unwrap();
    let second = client.get(&url).send().await.unwrap();
    assert_eq!(second.status().as_u16(), 503);
    assert!(second.text().await.unwrap().contains("event streams"));
    drop(first);
    let place = async { while !client.get(&url).send().await.unwrap().status().is_success() {} };
    tokio::time::timeout(DEADLINE, place).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_needs_no_place_but_its_own() {
    let node = node("[limits]\nin_flight_max = 1\nwatchers_max = 1").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/recipes", node.address());
    let post = async |recipe: &str, body: serde_json::Value| {
        let request = client.post(format!("{url}/{recipe}")).json(&body);
        let answer = tokio::time::timeout(DEADLINE, request.send())
            .await
            .unwrap();
        let answer = answer.unwrap().error_for_status().unwrap();
        answer.json::<serde_json::Value>().await.unwrap()
    };
    let events = client.get(format!("{url}/elections/e/events"));
    let mut events = events.send().await.unwrap();
    assert_eq!(events.status().as_u16(), 200, "the only stream");
    let latch = json!({ "count": 1, "wait_ms": 20_000 });
    assert_eq!(
        post("latches/l/count-down", json!({ "count": 1 })).await["left"],
        0
    );
    assert_eq!(post("latches/l/wait", latch).await["open"], true);
    let campaign = post("elections/e/campaign", json!({ "candidate": "a" })).await;
    assert_eq!(campaign["elected"], true);
    let told = async {
        let mut text = String::new();
        while !text.contains("\"candidate\":\"a\"") {
            text += std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_streams_and_waits_and_refuses_the_rest() {
    let node = node("shutdown_timeout_ms = 20000").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}", node.address());
    let keys = json!([{ "table": "locks", "key": "a" }]);
    let create = |wait_ms: u64| {
        let body = json!({ "keys": keys, "wait_ms": wait_ms });
        client.post(format!("{url}/v1/locks")).json(&body).send()
    };
    create(10_000).await.unwrap().error_for_status().unwrap();
    let stream = client
        .get(format!("{url}/v1/watch?table=kv"))
        .send()
        .await
        .unwrap();
    let waiter = tokio::spawn(create(60_000));
    // The waiter waits once it has a ticket.
    let queued = async {
        let queue = || client.get(format!("{url}/v1/queues/locks/a")).send();
        while queue()
            .await
            .unwrap()
            .json::<serde_json::Value>()
            .await
            .unwrap()["length"]
            != 2
        {}
    };
    tokio::time::timeout(DEADLINE, queued).await.unwrap();

    let left = tokio::time::timeout(DEADLINE, node.shutdown())
        .await
        .unwrap();
    assert_eq!(left, 0, "all sections are released");
    let told = stream.text().await.unwrap();
    assert!(
        told.contains("event: problem") && told.contains("MUSIC-4008"),
        "{told}"
    );
    let waiter = waiter.await.unwrap().unwrap();
    assert_eq!(waiter.status().as_u16(), 503);
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
}
