//! The page `docs/config.md`, written from the table of settings.

use std::fmt::Write as _;

use super::setting::{self, Kind, Setting};

const HEAD: &str = "\
# Configuration

Written by a test from the table of settings; `UPDATE=1 cargo test -p music-server config` writes it
anew.

A node reads one TOML file, `music serve --config music.toml`. A variable of the environment wins
over the file, a flag over both. Each setting has its variable: `MUSIC_`, and its path in capitals
with `_` for `.`, as `MUSIC_LIMITS_WAIT_MAX_MS`. A list is written there with commas, tables as
`kv=eventual,locks=critical`, replication as `ohio=1,oregon=1`. All faults are reported together,
before anything starts.

`deploy/` has a commented file for each deployment; [deploy.md](deploy.md) walks through them.

The settings of `[cluster]` must be the same at all nodes: compare `cluster_checksum` in
`GET /v1/status`.
";

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut section = None;
    for setting in setting::ALL {
        let own = setting
            .path
            .rsplit_once('.')
            .map_or("", |(section, _)| section);
        if section != Some(own) {
            section = Some(own);
            let title = if own.is_empty() {
                "The node".to_owned()
            } else {
                format!("[{own}]")
            };
            page += "\n## ";
            page += &title;
            page += "\n\n| setting | default | allowed | meaning |\n|---|---|---|---|\n";
        }
        row(&mut page, setting);
    }
    page
}

fn row(page: &mut String, setting: &Setting) {
    let Setting {
        path,
        kind,
        default,
        meaning,
    } = setting;
    let name = path.rsplit_once('.').map_or(*path, |(_, name)| name);
    let allowed = allowed(*kind);
    // Writing to a string does not fail.
    writeln!(page, "| `{name}` | `{default}` | {allowed} | {meaning} |").unwrap_or_default();
}

fn allowed(kind: Kind) -> String {
    match kind {
        Kind::Name => "1 to 64 of a-z, 0-9, `_`, `-`, `.`".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Address => "address and port".to_owned(),
        Kind::Authority => "host and port, or empty".to_owned(),
        Kind::Path => "a folder".to_owned(),
        Kind::Number(low, high) => format!("{low} to {high}"),
        Kind::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Kind::Names => "names, each once".to_owned(),
        Kind::Endpoints => "addresses, each once".to_owned(),
        Kind::Replication => "1 to 255 for each data centre".to_owned(),
        Kind::Tables => "`name` and `mode` (`critical` or `eventual`) each".to_owned(),
    }
}
