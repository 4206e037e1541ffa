//! Clients of a SQL database at one site, which do transactions as they are
//! told: a line of JSON for each order, and one back. `cargo xtask bench sql`
//! runs one at each site.
//!
//! | module | what it holds |
//! |---|---|
//! | [`order`] | what is asked for, and what is answered |
//! | [`database`] | sessions, by each product's own protocol |
//! | [`failure`] | why a transaction failed, and whether it may be tried again |
//! | [`work`] | what transactions do, on which tables |
//! | [`load`] | clients in a closed loop |
//! | [`clock`], [`dice`] | time and draws |
//! | [`look`] | what is in the tables, and whether it can be right |

mod arguments;
mod clock;
mod database;
mod dice;
mod failure;
mod load;
mod look;
mod order;
mod work;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::arguments::Arguments;
use crate::database::Session;
use crate::order::{Answer, Order};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sql-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Obeys until there are no more orders.
async fn serve() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let mut lines = BufReader::new(stdin()).lines();
    say(&serde_json::json!("ready"))?;
    while let Some(line) = lines.next_line().await.context("cannot read orders")? {
        let answer = match serde_json::from_str(&line) {
            Ok(order) => obey(&arguments, order).await,
            Err(error) => Err(error.into()),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Failed {
            error: format!("{error:#}"),
        });
        say(&serde_json::to_value(answer)?)?;
    }
    Ok(())
}

async fn obey(arguments: &Arguments, order: Order) -> Result<Answer> {
    match order {
        Order::Ask { sql, locally } => {
            let server = if locally {
                &arguments.look
            } else {
                &arguments.run
            };
            let mut session = Session::connect(arguments, server).await?;
            Ok(Answer::Rows {
                rows: session.ask(&sql).await?,
            })
        }
        Order::Make { workload, sites } => work::make(arguments, workload, sites).await,
        Order::Run(run) => load::run(arguments, &run).await,
        Order::Look {
            workload,
            sites,
            freshly,
        } => look::look(arguments, workload, sites, freshly).await,
    }
}

/// Writes a line.
fn say(value: &serde_json::Value) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{value}").context("nobody reads what is answered")?;
    output.flush().context("nobody reads what is answered")
}
