//! `music register`.

use clap::{Args, Subcommand};
use music_client::Content;
use music_client::api::name::Value;
use music_client::recipes::{Register as Recipe, Version};
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::interruptible;
use crate::value_argument::ValueArgument;

/// Read or change a value that all sites share
///
/// Each change gives it a new version; --json shows the version that it has. The value is written
/// as it is stored.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "Examples:
  music register plan
  music register plan get --json
  music register plan set --file plan.json --content-type application/json
  music register plan compare-and-set 3 new || echo somebody else was faster")]
pub(crate) struct Register {
    /// The register
    name: String,
    /// What to do; read it if left out
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Read the value
    Get,
    /// Set the value
    Set {
        #[command(flatten)]
        value: ValueArgument,
    },
    /// Set the value if its version is what is expected; exits with 83 if it is not
    CompareAndSet {
        /// The version that it has to have; 0 if it was never set
        #[arg(value_name = "VERSION")]
        expected: Version,
        #[command(flatten)]
        value: ValueArgument,
    },
}

#[derive(Serialize)]
struct RegisterJson<'a> {
    register: &'a str,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

/// Reads or changes a register.
pub(crate) async fn run(
    global: &Global,
    register: Register,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let name = register.name;
    let recipe = Recipe::new(&client, &name)?;
    let act = act(&recipe, &name, register.action.unwrap_or(Action::Get));
    let (version, content) = interruptible(&client, Failure::Interrupted, act).await?;
    let content = content.as_ref();
    let json = RegisterJson {
        register: &name,
        version,
        value: content.map(Content::to_value),
        content_type: content.map(|content| content.content_type.as_str()),
    };
    match content {
        Some(content) if !output.is_json() => output.value(&content.bytes)?,
        _ => output.either(&json, || format!("version {version}"))?,
    }
    Ok(Exit::Done)
}

/// The version, and the value if it was read.
async fn act(
    recipe: &Recipe,
    name: &str,
    action: Action,
) -> Result<(Version, Option<Content>), Failure> {
    match action {
        Action::Get => match recipe.get().await? {
            (_, None) => Err(Failure::NeverSet(name.to_owned())),
            read => Ok(read),
        },
        Action::Set { value } => Ok((recipe.set(value.content()?).await?, None)),
        Action::CompareAndSet { expected, value } => {
            let set = recipe.compare_and_set(expected, value.content()?).await?;
            set.map(|version| (version, None))
                .map_err(|found| Failure::Differs {
                    what: "the version",
                    found: found.to_string(),
                    expected: expected.to_string(),
                })
        }
    }
}
