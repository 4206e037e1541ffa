//! The outbox: digests of eventual tables.

use std::collections::BTreeMap;

use bytes::Bytes;
use mdbc::outbox::{Letter, Outbox, OutboxError};
use mdbc::redo_log::RedoLog;
use music_client::Client;

use crate::sites::{Sites, client, soon};

/// A site that keeps what has come.
struct Office {
    client: Client,
    log: RedoLog,
    outbox: Outbox,
    applied: BTreeMap<String, u64>,
    letters: Vec<Letter>,
}

impl Office {
    async fn open(sites: &Sites, site: usize) -> Self {
        let (client, log) = (client(&sites.urls[site]), sites.log(site).await);
        let outbox = soon(Outbox::open(client.clone(), "bank", &log))
            .await
            .unwrap();
        Self {
            client,
            log,
            outbox,
            applied: BTreeMap::new(),
            letters: Vec::new(),
        }
    }

    async fn send(&self, sequences: std::ops::RangeInclusive<u64>) {
        let site = self.log.sites().own().to_owned();
        let letter = |sequence| Letter {
            site: site.clone(),
            sequence,
            stamp: self.outbox.stamp(),
            digest: Bytes::from(format!("{site} {sequence}")),
        };
        let letters: Vec<Letter> = sequences.map(letter).collect();
        soon(self.outbox.send(&letters)).await.unwrap();
    }

    async fn receive(&mut self) {
        let arrivals = soon(self.outbox.receive(&self.applied)).await.unwrap();
        for letter in arrivals.letters {
            let applied = self.applied.entry(letter.site.clone()).or_default();
            assert_eq!(letter.sequence, *applied + 1, "no gap");
            *applied += 1;
            assert!(
                self.outbox.stamp() > letter.stamp,
                "what is written later wins"
            );
            self.letters.push(letter);
        }
        let applied = self.applied.clone();
        soon(self.outbox.publish_received(applied)).await.unwrap();
    }

    async fn receive_until(&mut self, count: usize) {
        let receive = async {
            while self.letters.len() < count {
                self.receive().await;
            }
        };
        soon(receive).await;
    }
}

#[tokio::test]
async fn each_site_gets_what_the_others_sent_once_and_in_order() {
    let sites = Sites::start().await;
    let mut offices = Vec::new();
    for site in 0..3 {
        offices.push(Office::open(&sites, site).await);
    }
    for office in &offices {
        office.send(1..=40).await;
        office.send(40..=41).await;
    }
    for office in &mut offices {
        office.receive_until(82).await;
        office.receive().await;
        assert_eq!(office.letters.len(), 82);
    }
}

#[tokio::test]
async fn a_site_that_was_away_gets_everything() {
    let sites = Sites::start().await;
    let mut there = Office::open(&sites, 1).await;
    let (sender, mut away) = (Office::open(&sites, 0).await, Office::open(&sites, 2).await);
    sites
        .deployment
        .set_site_cut(&sites.names[2], true)
        .unwrap();
    sender.send(1..=20).await;
    there.receive_until(20).await;
    assert_eq!(
        soon(sender.outbox.collect()).await.unwrap(),
        0,
        "a site lacks them"
    );
    away.receive().await;
    assert_eq!(away.letters.len(), 0);
    sites
        .deployment
        .set_site_cut(&sites.names[2], false)
        .unwrap();
    let catch_up = async {
        while away.letters.len() < 20 {
            let lacked = sender.outbox.lacked().await.unwrap();
            sender.send(lacked).await;
            away.receive().await;
        }
    };
    soon(catch_up).await;
    let collect = async {
        let mut collected = 0;
        while collected < 20 {
            collected += sender.outbox.collect().await.unwrap();
        }
    };
    soon(collect).await;
    let key = format!("{}/{:020}", sites.names[0], 1);
    let record = soon(sender.client.fields(("mdbc_bank_outbox", &key)))
        .await
        .unwrap();
    assert!(record.is_none(), "it is deleted when all have it");
    let late = async {
        loop {
            let mut arrivals = away.outbox.receive(&BTreeMap::new()).await.unwrap();
            assert_eq!(arrivals.letters.first().map_or(1, |l| l.sequence), 1);
            if let Some(error) = arrivals.refused.pop() {
                return error;
            }
        }
    };
    let late = soon(late).await;
    assert!(
        matches!(late, OutboxError::Behind { sequence: 1, .. }),
        "{late}"
    );
}

#[tokio::test]
async fn a_digest_that_a_replica_lacks_is_waited_for() {
    let sites = Sites::start().await;
    let (sender, mut receiver) = (Office::open(&sites, 0).await, Office::open(&sites, 1).await);
    sender.send(1..=3).await;
    let key = |sequence: u64| format!("{}/{sequence:020}", sites.names[0]);
    let lost = key(2);
    soon(sender.client.delete(("mdbc_bank_outbox", &lost)))
        .await
        .unwrap();
    let seen = async |sequence: u64| {
        let key = key(sequence);
        let record = receiver
            .client
            .fields(("mdbc_bank_outbox", &key))
            .await
            .unwrap();
        record.is_some_and(|record| !record.fields.is_empty())
    };
    let arrive = async { while !(seen(1).await && seen(3).await) || seen(2).await {} };
    soon(arrive).await;
    let known = async {
        while receiver.letters.is_empty() {
            receiver.receive().await;
        }
    };
    soon(known).await;
    receiver.receive().await;
    assert_eq!(receiver.letters.len(), 1);
    let arrivals = soon(receiver.outbox.receive(&receiver.applied))
        .await
        .unwrap();
    assert_eq!(arrivals.missing, [(sites.names[0].clone(), 2)].into());
    sender.send(2..=2).await;
    receiver.receive_until(3).await;
}
