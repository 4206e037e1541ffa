//! `music demo placement`: templates placed exactly once, whatever fails.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use music_placement::{Catalogue, Demand, Reader, Template, Unreadable, built_in, load_dir};

use crate::demo::error::Error;
use crate::demo::stage::{EngineName, Stage};
use crate::demo::story::Story;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  music demo placement
  music demo placement --templates ./heat-templates --seed 7
  music demo placement --profile global5 --workers 1 --no-faults --json
  music demo placement --engine cassandra+zookeeper --config music.toml

Exits with 0 only if every readable template was placed exactly once, and with 80 if not.";

/// Place application templates (HOT) at three sites, exactly once, while a
/// worker, a node and a site fail
///
/// Starts a deployment of its own, with the engine in it or on engines that
/// run, submits the templates spread over the
/// sites, and lets workers at each site place them. On the way it kills a
/// worker in the middle of a placement, cuts a site off and heals it, kills a
/// node and starts it again. Then it compares what every site really runs with
/// the mapping.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The folder of templates: *.yaml, *.yml, *.template; a few of its own if
    /// left out
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// What flavors there are and what each site has, as TOML; one of its own
    /// if left out
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// How many sites of the profile to use; all of them if left out
    #[arg(long, value_name = "N")]
    sites: Option<NonZeroUsize>,
    /// The sites and the delays between them: local3, metro3, lUs, lUsEu or
    /// global5
    #[arg(long, value_name = "PROFILE", default_value = "lUs")]
    profile: String,
    /// Where state and locks are
    #[arg(long, value_name = "ENGINE", default_value = "embedded")]
    engine: EngineName,
    /// The file with the settings of a node, TOML: where the engines are. A
    /// node is started for each data centre that has replicas, what it keeps
    /// is set apart, and one that is cut off is only told so
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sites", "profile"])]
    config: Option<PathBuf>,
    /// Decides what fails, where, and who tries what first
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How many workers each site has
    #[arg(long, value_name = "N", default_value = "2")]
    workers: NonZeroUsize,
    /// Let nothing fail
    #[arg(long)]
    no_faults: bool,
    /// When to give up and say what is missing
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = duration::parse)]
    deadline: Duration,
}

/// What is to be shown.
#[derive(Debug)]
pub(crate) struct Script {
    /// The templates that can be read, in the order of their names.
    pub(crate) templates: Vec<Template>,
    /// The others.
    pub(crate) unreadable: Vec<Unreadable>,
    /// What the sites have.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Decides what is left to chance.
    pub(crate) seed: u64,
    /// How many workers each site has.
    pub(crate) workers: usize,
    /// Whether something is to fail.
    pub(crate) faults: bool,
    /// When to give up.
    pub(crate) deadline: Duration,
}

impl Script {
    /// What each readable template takes.
    pub(crate) fn demands(&self) -> BTreeMap<String, Demand> {
        let templates = self.templates.iter();
        templates
            .map(|template| (template.name.clone(), template.demand))
            .collect()
    }
}

/// Runs the demonstration.
pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<Exit, Failure> {
    let script = script(&arguments)?;
    let mut signals = Signals::new()?;
    let stage = stage(&arguments).await?;
    let story = Box::pin(Story::new(&stage, &script, output).play());
    let played = tokio::select! {
        played = story => played,
        signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
    };
    stage.close().await;
    let report = played?;
    output.either(&report, || report.text())?;
    Ok(report.exit())
}

async fn stage(arguments: &Arguments) -> Result<Stage, Failure> {
    match arguments.engine {
        EngineName::Embedded => {
            let sites = arguments.sites.map(NonZeroUsize::get);
            Stage::embedded(&arguments.profile, sites).await
        }
        engine => Stage::services(engine, arguments.config.as_deref()).await,
    }
}

fn script(arguments: &Arguments) -> Result<Script, Failure> {
    let catalogue = match &arguments.catalogue {
        Some(path) => Catalogue::read(&read(path)?).map_err(Error::from)?,
        None => Catalogue::built_in().map_err(Error::from)?,
    };
    let reader = Reader::new(&catalogue);
    let read = match &arguments.templates {
        Some(folder) => load_dir(folder, &reader).map_err(Error::from)?,
        None => built_in(&reader),
    };
    let (mut templates, mut unreadable) = (Vec::new(), Vec::new());
    for template in read {
        match template {
            Ok(template) => templates.push(template),
            Err(error) => unreadable.push(error),
        }
    }
    Ok(Script {
        templates,
        unreadable,
        catalogue: Arc::new(catalogue),
        seed: arguments.seed,
        workers: arguments.workers.get(),
        faults: !arguments.no_faults,
        deadline: arguments.deadline,
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}
