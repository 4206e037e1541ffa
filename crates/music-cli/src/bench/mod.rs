//! `music bench`: what things cost.
//!
//! | module | what it does |
//! |---|---|
//! | [`sections`] | critical sections over delayed links, in rounds |
//! | [`hand_over`] | from one grant of a lock to the next |
//! | [`recipes`] | recipes, by site |
//! | [`wan`] | clients of a site, who do sections as they are told |
//! | [`local`] | gets and eventual puts at one node, as many as it serves |
//! | [`server`], [`deployment`] | the deployment that is measured, a process of its own |
//! | [`load`], [`http1`] | a load that leaves the processors to the server |
//! | [`processor`] | the processor time that a process used |

mod clock;
mod deployment;
mod draw;
pub(crate) mod error;
mod hand_over;
mod http1;
mod load;
mod local;
mod processor;
mod recipes;
mod round;
mod sample;
mod sections;
mod sections_report;
mod server;
mod wan;

use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Measure what things cost
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Sections(sections::Sections),
    Local(local::Local),
    HandOver(hand_over::HandOver),
    Recipes(recipes::Recipes),
    #[command(hide = true)]
    Wan(wan::Wan),
    #[command(hide = true)]
    Deployment(deployment::ForBench),
}

/// Measures.
pub(crate) async fn run(global: &Global, bench: Bench, output: &Output) -> Result<Exit, Failure> {
    match bench.what {
        What::Sections(sections) => sections::run(global, sections, output).await,
        What::Recipes(recipes) => recipes::run(global, recipes, output).await,
        What::Local(local) => local::run(global, local, output).await,
        What::HandOver(wanted) => hand_over::run(wanted, output).await,
        What::Wan(wan) => wan::run(wan, output).await,
        What::Deployment(wanted) => deployment::run(wanted, output).await,
    }
}
