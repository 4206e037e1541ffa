//! `music bench sections`: what a critical section costs, in round trips.

use std::path::PathBuf;

use clap::Args;
use futures_util::future::try_join_all;
use music_client::api::table::TableMode;
use music_client::{Client, CriticalSection, Error, Options};

use super::clock;
use super::draw::Draw;
use super::round::{self, Nodes};
use super::sample::Sampled;
use super::sections_report as report;
use super::server::Server;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// The table that sections protect.
const TABLE: &str = "bench-sections";
/// The table that needs none.
const EVENTUAL: &str = "bench-eventual";

/// Measure critical sections, in milliseconds and in rounds
///
/// One client at a time, at each site in turn, nobody in its way. A round is
/// the round trip from the site to the farthest member of its nearest
/// majority. Starts a deployment as `music dev` does, unless --running is given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music bench sections
  music bench sections --profile global5 --rounds 10
  music bench sections --running --endpoint http://127.0.0.1:7701,http://127.0.0.1:7702")]
pub(crate) struct Sections {
    /// The delays between the sites of the deployment
    #[arg(long, default_value = "lUs")]
    profile: String,
    /// How many puts a section makes, one by one and all at once
    #[arg(long, default_value = "1,10", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    puts: Vec<u32>,
    /// How often each is measured
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// The size of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    value_bytes: u32,
    /// Where the deployment keeps its data; a temporary directory if left out
    #[arg(long, value_name = "DIR", conflicts_with = "running")]
    data: Option<PathBuf>,
    /// Measure the nodes at --endpoint, one a site
    #[arg(long)]
    running: bool,
}

/// Measures.
pub(super) async fn run(
    global: &Global,
    sections: Sections,
    output: &Output,
) -> Result<Exit, Failure> {
    if sections.running {
        return measure(&global.endpoints, &sections, output).await;
    }
    let server = Server::start(&sections.profile, sections.data.as_deref(), output).await?;
    let measured = measure(server.urls(), &sections, output).await;
    server.stop().await;
    measured
}

async fn measure(urls: &[String], sections: &Sections, output: &Output) -> Result<Exit, Failure> {
    let nodes = Nodes::ask(urls).await?;
    let mut lines = Vec::new();
    for node in &nodes.each {
        let round = nodes.round(&node.site);
        output.progress(&format!(
            "{}: a round is {:.2} ms",
            node.site,
            clock::ms(round)
        ));
        let client = Client::new([node.url.clone()], Options::default())?;
        client.create_table(TABLE, TableMode::Critical).await?;
        client.create_table(EVENTUAL, TableMode::Eventual).await?;
        let at = Site {
            client,
            name: &node.site,
            values: Draw::new(1),
            value_bytes: usize::try_from(sections.value_bytes).unwrap_or_default(),
        };
        let sampled = at.all(sections).await?;
        lines.extend(report::lines(&node.site, round, &sampled));
    }
    output.either(&lines, || report::text(&lines, sections.value_bytes))?;
    Ok(Exit::Done)
}

/// A client at a site.
struct Site<'a> {
    client: Client,
    name: &'a str,
    values: Draw,
    value_bytes: usize,
}

impl Site<'_> {
    async fn all(mut self, sections: &Sections) -> Result<Sampled, Failure> {
        let mut sampled = Sampled::default();
        let rounds = sections.rounds;
        for number in 0..rounds {
            self.section(
                &format!("{}-{number}", self.name),
                "fresh key",
                &mut sampled,
            )
            .await?;
        }
        let same = format!("{}-same", self.name);
        // Whatever an earlier run left behind is paid for here.
        self.section(&same, "", &mut Sampled::default()).await?;
        for _ in 0..rounds {
            self.section(&same, "same key", &mut sampled).await?;
        }
        for number in 0..rounds {
            self.gets(&format!("{}-{number}", self.name), &mut sampled)
                .await?;
        }
        for puts in sections.puts.iter().copied().filter(|puts| *puts > 1) {
            self.puts(puts, rounds, &mut sampled).await?;
        }
        for number in 0..rounds {
            self.eventual(&format!("{}-{number}", self.name), &mut sampled)
                .await?;
        }
        Ok(sampled)
    }

    /// A whole section with one put.
    async fn section(
        &mut self,
        key: &str,
        which: &str,
        sampled: &mut Sampled,
    ) -> Result<(), Failure> {
        let value = self.value();
        let begun = clock::now();
        let section = self.client.lock([(TABLE, key)]).acquire().await?;
        let granted = clock::now();
        section.put((TABLE, key), value).await?;
        let put = clock::now();
        section.release().await?;
        let ended = clock::now();
        let rounds = round::ENQUEUE;
        sampled.add(&format!("section, {which}"), rounds + 1, ended - begun);
        sampled.add(
            &format!("· create and acquire, {which}"),
            rounds,
            granted - begun,
        );
        sampled.add(&format!("· put, {which}"), 1, put - granted);
        sampled.add(&format!("· release, {which}"), 0, ended - put);
        Ok(())
    }

    /// Two reads of what an earlier section wrote.
    async fn gets(&self, key: &str, sampled: &mut Sampled) -> Result<(), Failure> {
        let section = self.client.lock([(TABLE, key)]).acquire().await?;
        for (which, rounds) in [("critical get, first", 1), ("critical get, again", 0)] {
            let begun = clock::now();
            section.get((TABLE, key)).await?;
            sampled.add(which, rounds, clock::now() - begun);
        }
        Ok(section.release().await?)
    }

    /// Several puts in one section: one by one, then all at once.
    async fn puts(&mut self, puts: u32, rounds: u32, sampled: &mut Sampled) -> Result<(), Failure> {
        let key = format!("{}-puts", self.name);
        let section = self.client.lock([(TABLE, &key)]).acquire().await?;
        for _ in 0..rounds {
            let begun = clock::now();
            for field in 0..puts {
                let value = self.value();
                put_field(&section, &key, field, value).await?;
            }
            sampled.add(
                &format!("{puts} puts, one by one"),
                puts,
                clock::now() - begun,
            );
            let values: Vec<_> = (0..puts).map(|field| (field, self.value())).collect();
            let begun = clock::now();
            let puts_at_once = values
                .into_iter()
                .map(|(field, value)| put_field(&section, &key, field, value));
            try_join_all(puts_at_once).await?;
            sampled.add(&format!("{puts} puts, at once"), 1, clock::now() - begun);
        }
        Ok(section.release().await?)
    }

    /// A put and a get that need no lock.
    async fn eventual(&mut self, key: &str, sampled: &mut Sampled) -> Result<(), Failure> {
        let value = self.value();
        let begun = clock::now();
        self.client.put((EVENTUAL, key), value).await?;
        let put = clock::now();
        self.client.get((EVENTUAL, key)).await?;
        sampled.add("eventual put", 0, put - begun);
        sampled.add("eventual get", 0, clock::now() - put);
        Ok(())
    }

    fn value(&mut self) -> Vec<u8> {
        self.values.bytes(self.value_bytes)
    }
}

async fn put_field(
    section: &CriticalSection,
    key: &str,
    field: u32,
    value: Vec<u8>,
) -> Result<u64, Error> {
    section
        .put((TABLE, key, format!("f{field}").as_str()), value)
        .await
}
