//! The transcript of the manual, replayed by psql.

use std::time::Duration;

use tokio::process::Command;

use crate::sites::{Sites, soon};

const MANUAL: &str = include_str!("../../../../docs/sql.md");

const LEASE: Duration = Duration::from_secs(30);

/// A line that somebody typed, and what was answered.
#[derive(Debug)]
struct Line<'t> {
    at: &'t str,
    typed: &'t str,
    answer: Vec<&'t str>,
}

fn transcript() -> Vec<Line<'static>> {
    let (_, text) = MANUAL.split_once("```psql\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for line in text.lines() {
        let typed = line.split_once("=> ").or(line.split_once("$ "));
        match typed.filter(|(at, _)| !at.contains(' ')) {
            Some((at, typed)) => lines.push(Line {
                at,
                typed,
                answer: Vec::new(),
            }),
            None => lines.last_mut().unwrap().answer.push(line),
        }
    }
    lines
}

async fn psql(sites: &Sites, site: usize, typed: &str) -> Vec<String> {
    let address = sites.address(site).unwrap();
    let output = Command::new("psql")
        .args(["-X", "-h", "127.0.0.1", "-U", "mdbc", "-d", "music"])
        .args(["-p", &address.port().to_string(), "-c", typed])
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, "", "{typed}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_of_the_manual_is_true() {
    let sites = Sites::with_delays("lUs", LEASE).await;
    let lines = transcript();
    assert!(lines.len() > 10, "{lines:?}");
    for line in &lines {
        if let Some(control) = line.typed.strip_prefix("music dev ") {
            let (what, site) = control.split_once(' ').unwrap();
            let is_cut = what == "cut";
            assert!(is_cut || what == "heal", "{control}");
            sites.deployment.set_site_cut(site, is_cut).unwrap();
            continue;
        }
        let site = sites.names.iter().position(|name| name == line.at).unwrap();
        let mut answer = psql(&sites, site, line.typed).await;
        // What is eventual comes some time.
        let comes = async {
            while line.typed.starts_with("SELECT") && answer != line.answer {
                answer = psql(&sites, site, line.typed).await;
            }
        };
        soon(comes).await;
        assert_eq!(answer, line.answer, "{}", line.typed);
    }
}
