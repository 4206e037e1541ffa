//! `music bench recipes`: what recipes take, by site.

use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::future::{join_all, try_join_all};
use music_client::recipes::{Counter, DoubleBarrier, Election, Mutex, Queue, Semaphore};
use music_client::{Client, Error, Options};
use serde::Serialize;

use super::clock;
use super::sample::Sampled;
use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// Measure recipes at all sites
///
/// Each --endpoint is the node of a site; its client is as far away as this machine is. Sites work
/// at once, each with names of its own, but for the double barrier, which all cross together.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music bench recipes --endpoint http://10.77.1.1:7410,http://10.77.2.1:7410,http://10.77.3.1:7410
  music bench recipes --count 20 --recipe mutex,counter")]
pub(crate) struct Recipes {
    /// How often each is done at each site
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Which recipes; all if left out
    #[arg(long, value_delimiter = ',', value_enum)]
    recipe: Vec<Recipe>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Recipe {
    /// Lock and unlock
    Mutex,
    /// Add one
    Counter,
    /// Campaign and resign
    Election,
    /// Acquire and release one of three permits
    Semaphore,
    /// Enter and leave together
    DoubleBarrier,
    /// Push, take, done
    Queue,
}

impl Recipe {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Serialize)]
struct RowJson {
    recipe: String,
    endpoint: String,
    median_ms: f64,
    p99_ms: f64,
}

/// What all sites use in one measurement.
struct Names {
    /// Unlike those of any other measurement.
    run: String,
    count: u32,
    sites: u64,
}

/// Measures.
pub(crate) async fn run(
    global: &Global,
    recipes: Recipes,
    output: &Output,
) -> Result<Exit, Failure> {
    let endpoints = global.client()?.endpoints().to_vec();
    let clients = endpoints
        .iter()
        .map(|url| Client::new([url.as_str()], Options::default()));
    let clients: Vec<Client> = clients.collect::<Result<_, _>>()?;
    let names = Names {
        run: format!(
            "bench-{}-{}",
            std::process::id(),
            clock::since_1970().as_nanos()
        ),
        count: recipes.count,
        sites: clients.len() as u64,
    };
    let wanted = match recipes.recipe.as_slice() {
        [] => Recipe::value_variants(),
        some => some,
    };
    let mut rows = Vec::new();
    for recipe in wanted {
        output.progress(&format!("measuring {}", recipe.name()));
        let measured = clients.iter().enumerate();
        let measured = measured.map(|(site, client)| names.measure(*recipe, client, site));
        let measured = try_join_all(measured).await?;
        for (endpoint, times) in endpoints.iter().zip(measured) {
            rows.extend(times.all().iter().map(|sample| RowJson {
                recipe: sample.what.clone(),
                endpoint: endpoint.clone(),
                median_ms: clock::ms(sample.quantile(0.5)),
                p99_ms: clock::ms(sample.quantile(0.99)),
            }));
        }
    }
    // What was dropped is released before the program ends.
    join_all(clients.iter().map(Client::close)).await;
    output.either(&rows, || table(&rows))?;
    Ok(Exit::Done)
}

fn table(rows: &[RowJson]) -> String {
    let cells = rows.iter().map(|row| {
        [
            row.recipe.clone(),
            row.endpoint.clone(),
            format!("{:.1}", row.median_ms),
            format!("{:.1}", row.p99_ms),
        ]
    });
    let cells: Vec<_> = cells.collect();
    columns(["recipe", "at", "median ms", "p99 ms"], &cells)
}

impl Names {
    /// Does a recipe again and again at a site.
    async fn measure(
        &self,
        recipe: Recipe,
        client: &Client,
        site: usize,
    ) -> Result<Sampled, Error> {
        let own = format!("{}-{site}", self.run);
        let mut times = Sampled::default();
        // The first one creates what is missing, and opens connections.
        for turn in 0..=self.count {
            let began = clock::now();
            let mut note = |what: &str, time: Duration| {
                if turn > 0 {
                    times.add(what, 0, time);
                }
            };
            match recipe {
                Recipe::Mutex => drop(Mutex::new(client, &own).lock().await?.unlock().await?),
                Recipe::Counter => drop(Counter::new(client, &own)?.add(1).await?),
                Recipe::Election => {
                    let candidate = Election::new(client, &own)?.candidate("c", "")?;
                    candidate.campaign().await?.resign().await?;
                }
                Recipe::Semaphore => {
                    Semaphore::new(client, &own, 3)?
                        .acquire()
                        .await?
                        .release()
                        .await?;
                }
                Recipe::DoubleBarrier => {
                    let party = site.to_string();
                    let barrier = DoubleBarrier::new_as(client, &self.run, self.sites, &party);
                    let mut barrier = barrier?;
                    barrier.enter().await?;
                    barrier.leave().await?;
                }
                Recipe::Queue => {
                    let queue = Queue::new(client, &own)?;
                    queue.push("item").await?;
                    note("queue push", began.elapsed());
                    let took = clock::now();
                    queue.taker().take().await?.done().await?;
                    note("queue take, done", took.elapsed());
                    continue;
                }
            }
            note(&recipe.name(), began.elapsed());
        }
        Ok(times)
    }
}
