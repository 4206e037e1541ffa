//! A process that dies after each number of its node's answers, and one whose
//! node's answer is lost at each of them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mdbc::redo_log::{Access, Applied, RedoLog};

use crate::proxy::Proxy;
use crate::sites::{Sites, digests, hasty_client, own, set, soon, writes};

/// The most answers that a life of these tests has.
const ANSWERS_MAX: usize = 64;

/// How many lives there are at a time: most of each is waiting for leases.
const AT_A_TIME: usize = 4;

/// What a life does, one after the other.
const PLAN: [(&str, &[usize]); 4] = [("1", &[0]), ("2", &[0, 1]), ("3", &[1]), ("4", &[0, 1, 2])];

/// Lives until the way to its node is cut. Returns what was acknowledged.
async fn live(sites: &Sites, proxy: &Proxy, names: &[String]) -> Vec<&'static str> {
    let mut acknowledged = Vec::new();
    let client = hasty_client(&proxy.url);
    let Ok(log) = RedoLog::open(client, sites.options(0)).await else {
        return acknowledged;
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let applied = Applied::default();
    let Ok(turn) = log
        .turn(
            &set(&names),
            Access::Write,
            &applied,
            Duration::from_secs(20),
        )
        .await
    else {
        return acknowledged;
    };
    let mut tickets = Vec::new();
    for (digest, of) in PLAN {
        let of: Vec<&str> = of.iter().map(|number| names[*number]).collect();
        // Two of them are under way at once.
        match turn.append(&writes(&of), Bytes::from(digest)).await {
            Ok(ticket) => tickets.push((digest, ticket)),
            Err(_) => break,
        }
        if tickets.len() == 2 {
            for (digest, ticket) in tickets.drain(..) {
                acknowledged.extend(ticket.acknowledged().await.ok().map(|()| digest));
            }
        }
    }
    for (digest, ticket) in tickets {
        acknowledged.extend(ticket.acknowledged().await.ok().map(|()| digest));
    }
    let _ended = turn.end().await;
    acknowledged
}

/// What the next owners find: whole transactions, all that was acknowledged.
async fn check(sites: &Sites, names: &[String], acknowledged: &[&str]) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for (site, first) in [(1, 0), (2, 1)] {
        let log = sites.log(site).await;
        let mut applied = Applied::default();
        // One partition first, whose entries rest on the others.
        let mut digests_here = Vec::new();
        for owned in [&names[first..=first], &names[..]] {
            let turn = own(&log, owned, &mut applied).await.unwrap();
            digests_here.extend(digests(&turn));
            soon(turn.end()).await.unwrap();
        }
        for digest in acknowledged {
            let count = digests_here.iter().filter(|found| found == digest).count();
            assert_eq!(count, 1, "{digest} of {digests_here:?}");
        }
        digests_here.sort_unstable();
        found.push((digests_here, applied));
    }
    assert_eq!(found[0], found[1], "all sites find the same");
}

/// Lets lives end at each number of answers, until one comes to its end.
async fn at_each_answer(
    how: impl Fn(&Proxy, usize) + Copy,
    is_over: impl Fn(&Proxy) -> bool + Copy,
) {
    let sites = Sites::hasty().await;
    let mut ends = 0;
    for first in (0..ANSWERS_MAX).step_by(AT_A_TIME) {
        let sites = &sites;
        let lives = (first..first + AT_A_TIME).map(|answers| async move {
            let proxy = Proxy::start(&sites.urls[0]).await;
            let names = ["x", "y", "z"]
                .map(|name| format!("{name}{answers}"))
                .to_vec();
            how(&proxy, answers);
            let acknowledged = soon(live(sites, &proxy, &names)).await;
            let is_over = is_over(&proxy);
            drop(proxy);
            soon(check(sites, &names, &acknowledged)).await;
            is_over
        });
        let over = join_all(lives).await;
        ends += over.iter().filter(|over| **over).count();
        if over.contains(&false) {
            assert!(ends > 8, "it ended in the middle: {ends}");
            return;
        }
    }
    panic!("it goes on and on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_loses_and_tears_nothing() {
    at_each_answer(Proxy::cut_after, Proxy::is_cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_at_any_step_loses_and_tears_nothing() {
    let lose = |proxy: &Proxy, answers| proxy.lose_answers_after(answers, 1);
    at_each_answer(lose, |proxy| proxy.to_be_lost() == 0).await;
}
