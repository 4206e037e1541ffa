//! The dashboard in a real browser, driven over `WebDriver`.
//!
//! Needs `chromium` and `chromedriver`, which `cargo xtask test` installs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::Fixture;

/// How long the page may take to show something.
const DEADLINE: Duration = Duration::from_mins(1);

impl Fixture {
    async fn deployment_status(&self) -> Value {
        self.control(Method::GET, "/v1/dev").send().await.ok()
    }
}

/// A page in a browser; both end with it.
struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
}

impl Browser {
    async fn open(url: &str) -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: `cargo xtask test` installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                let port = line.split("successfully on port ").nth(1)?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says where it listens");
        let http = reqwest::Client::new();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
        } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&base).json(&wanted).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let session = format!("{base}/{}", id.unwrap_or_else(|| panic!("{answer}")));
        let browser = Self {
            driver,
            session,
            http,
        };
        browser.command("url", json!({ "url": url })).await;
        browser
    }

    async fn command(&self, name: &str, body: Value) -> Value {
        let url = format!("{}/{name}", self.session);
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["value"].clone()
    }

    /// What a script in the page returns.
    async fn script(&self, script: &str) -> Value {
        self.command("execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until the page's text has this in it.
    async fn shows(&self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let page = self.script("return document.body.innerText").await;
            if page.as_str().is_some_and(|page| page.contains(text)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the page never shows {text:?}: {page}"
            );
        }
    }

    /// Clicks the button that asks for this path.
    async fn click(&self, path: &str) {
        let selector = format!("button[data-path='{path}']");
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", wanted).await;
        let element = found
            .as_object()
            .and_then(|found| found.values().next()?.as_str());
        let element = element.unwrap_or_else(|| panic!("no {selector}: {found}"));
        self.command(&format!("element/{element}/click"), json!({}))
            .await;
    }

    async fn close(mut self) {
        self.http.delete(&self.session).send().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_cut_off_and_a_node_suspended_with_a_click() {
    let fixture = Fixture::start().await;
    let browser = Browser::open(&fixture.deployment.control_url()).await;
    browser.shows("profile local3").await;
    let node = fixture.deployment.nodes()[0].name.clone();

    browser.click("/v1/dev/sites/a/cut").await;
    browser.shows("cut off").await;
    let status = fixture.deployment_status().await;
    let cut = status["links"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["cut_a_to_b"] == true && link["cut_b_to_a"] == true);
    assert_eq!(cut.count(), 2, "{status}");

    browser.click("/v1/dev/sites/a/heal").await;
    browser
        .click(&format!("/v1/dev/nodes/{node}/suspend"))
        .await;
    browser.shows("suspended").await;
    assert_eq!(
        fixture.deployment_status().await["nodes"][0]["state"],
        "suspended"
    );

    browser.click(&format!("/v1/dev/nodes/{node}/resume")).await;
    let _lock = fixture.lock(1, &["alice"]).await;
    browser
        .script(
            "document.getElementById('key').value = 'alice'; \
             document.querySelector('#ask button').click()",
        )
        .await;
    browser.shows("1 in the queue, last lockRef 1").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shows_itself_without_controls() {
    let fixture = Fixture::start().await;
    let browser = Browser::open(fixture.url(2)).await;
    browser.shows("at c, engine embedded").await;
    let buttons = browser
        .script("return document.querySelectorAll('[data-path]').length")
        .await;
    assert_eq!(buttons, 0);
    browser.close().await;
}
