//! `music dev`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use music_client::api::status::DevNode;
use music_server::config::{LogConfig, LogFormat, TraceConfig};
use music_server::dev::{Deployment, DevConfig};
use music_server::logging;
use serde::Serialize;

use crate::dev_control::{self, Control};
use crate::environment::find_program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};
use crate::signals::Signals;
use crate::sql::{SqlSite, SqlSites};

/// The port of the controls; the nodes have those after it, so that the first
/// is where commands look for a node.
const PORT: u16 = 7700;

/// The highest port of the controls that leaves room for the nodes' above it.
const PORT_MAX: i64 = 65_000;

/// Run several sites in this process, with the delays between real ones; or control those that run
///
/// Without a subcommand: starts a node at each site of the profile, and stops them all with Ctrl-C.
/// With one: suspends nodes, cuts links and so on, in a deployment that runs.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  music dev
  music dev --profile global5 --data ./data
  music dev state
  music dev suspend ohio-1
  music dev cut ohio oregon --oneway
  music dev cut ohio")]
pub(crate) struct Dev {
    #[command(flatten)]
    start: Start,
    /// The address of the controls, for the subcommands
    #[arg(
        long,
        value_name = "URL",
        env = "MUSIC_CONTROL",
        default_value = "http://127.0.0.1:7700",
        global = true
    )]
    control: String,
    #[command(subcommand)]
    action: Option<Control>,
}

/// What is started.
#[derive(Debug, Args)]
struct Start {
    /// The sites and the delays between them: local3, metro3, lUs, lUsEu or global5
    #[arg(long, default_value = "lUs")]
    profile: String,
    /// How many of the profile's sites; all if left out
    #[arg(long, value_name = "N")]
    sites: Option<NonZeroUsize>,
    /// Where the data is kept; a temporary directory, removed at the end, if left out
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port of the controls; the nodes have those after it. 0 for any free ones
    #[arg(long, default_value_t = PORT, value_parser = value_parser!(u16).range(..=PORT_MAX))]
    port: u16,
    /// Also start a SQL database at each site
    #[arg(long)]
    sql: bool,
    /// What is logged to standard error: a level, or directives as `music_server=debug`
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
    /// Where traces go by OTLP over HTTP, as `http://127.0.0.1:4318`; none if left out
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
}

#[derive(Serialize)]
struct DevJson<'a> {
    profile: &'a str,
    data: &'a Path,
    control: &'a str,
    nodes: &'a [DevNode],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sql: &'a [SqlSite],
    r#try: &'a [String],
}

/// Starts a deployment, or controls one.
pub(crate) async fn run(dev: Dev, output: &Output) -> Result<Exit, Failure> {
    match dev.action {
        Some(control) => dev_control::run(&dev.control, control, output).await,
        None => start(dev.start, output).await,
    }
}

async fn start(start: Start, output: &Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let log = LogConfig {
        format: LogFormat::Human,
        level: start.log.clone(),
    };
    let trace = TraceConfig {
        otlp_endpoint: start.otlp_endpoint.clone(),
        ..TraceConfig::default()
    };
    let traces = logging::install_traced(&log, &trace, "dev", "dev")?;
    // Removed when it is dropped, after the deployment has ended.
    let temporary = tempfile::Builder::new().prefix("music-dev-").tempdir();
    let temporary = temporary.map_err(Failure::Temporary)?;
    let data = start
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let mut config = DevConfig::new(start.profile.clone());
    config.sites = start.sites.map(NonZeroUsize::get);
    config.dir = Some(data.clone());
    config.base_port = start.port;
    let deployment = Box::pin(Deployment::start(config)).await?;
    let sql = if start.sql {
        SqlSites::start(&deployment.nodes(), &data, start.port).await?
    } else {
        SqlSites::default()
    };
    announce((&start, &data), &deployment, &sql.sites, output)?;
    signals.next().await;
    output.progress("ending: a second Ctrl-C ends at once");
    let ended = async {
        let stopped = sql.stop().await;
        deployment.shutdown().await;
        stopped
    };
    tokio::select! {
        ended = ended => {
            ended?;
            traces.close().await;
            Ok(Exit::Done)
        }
        signal = signals.next() => Ok(Exit::signal(signal.as_raw())),
    }
}

fn announce(
    (start, data): (&Start, &Path),
    deployment: &Deployment,
    sql: &[SqlSite],
    output: &Output,
) -> Result<(), Failure> {
    let (nodes, control) = (deployment.nodes(), deployment.control_url());
    let commands = commands(&nodes);
    let json = DevJson {
        profile: &start.profile,
        data,
        control: &control,
        nodes: &nodes,
        sql,
        r#try: &commands,
    };
    output.either(&json, || {
        let row = |node: &DevNode| [node.site.clone(), node.name.clone(), node.url.clone()];
        let rows: Vec<_> = nodes.iter().map(row).collect();
        let kept = if start.data.is_some() {
            ""
        } else {
            ", removed at the end"
        };
        format!(
            "{}\n{}\ncontrols and dashboard  {control}\ndata                    {}{kept}\n\n\
             Try, in another terminal:\n  {}\n\nCtrl-C ends it. See also: music dev --help",
            columns(["SITE", "NODE", "ADDRESS"], &rows),
            databases(sql),
            data.display(),
            commands.join("\n  "),
        )
    })
}

/// How the databases are reached, a line each.
fn databases(sites: &[SqlSite]) -> String {
    let line = |site: &SqlSite| {
        let (host, port) = site.address.rsplit_once(':').unwrap_or_default();
        format!(
            "database at {:<13}psql -h {host} -p {port} music\n",
            site.site
        )
    };
    sites.iter().map(line).collect()
}

/// Three commands to try, which work as they are in a shell.
fn commands(nodes: &[DevNode]) -> Vec<String> {
    let url = |node: Option<&DevNode>| node.map_or("", |node| node.url.as_str()).to_owned();
    let (first, last) = (url(nodes.first()), url(nodes.last()));
    let program = program();
    let at = |url: String| match url.as_str() {
        "http://127.0.0.1:7701" => String::new(),
        _ => format!(" --endpoint {url}"),
    };
    let (first, last) = (at(first), at(last));
    vec![
        format!("{program} put{first} -t kv greeting hello"),
        format!("{program} get{first} -t kv greeting"),
        format!(
            "{program} lock{last} greeting -- sh -c 'echo my fencing token is $MUSIC_FENCING_TOKEN'"
        ),
    ]
}

/// How a shell finds this program: by its name where that is enough.
fn program() -> String {
    const NAME: &str = "music";
    let Ok(this) = std::env::current_exe() else {
        return NAME.to_owned();
    };
    let found = find_program(NAME);
    let canonical = |path: &Path| path.canonicalize().ok();
    if found.is_some_and(|found| canonical(&found) == canonical(&this)) {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| this.strip_prefix(here).ok().map(Path::to_owned));
    let path = short.map_or(this, |short| Path::new(".").join(short));
    quote(&path.to_string_lossy())
}

/// A word as a shell reads it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quote("/usr/bin/music"), "/usr/bin/music");
        assert_eq!(quote("/my files/it's"), r"'/my files/it'\''s'");
    }
}
