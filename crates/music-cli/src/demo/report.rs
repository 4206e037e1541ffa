//! The verdict of the demonstration, for people and for programs.

use std::collections::BTreeMap;

use music_placement::service::Audit;
use music_placement::service::audit::{Entry, Row};
use serde::Serialize;

use crate::demo::placement::Script;
use crate::demo::stage::Stage;
use crate::exit::Exit;
use crate::output::columns;

/// What the demonstration found. The numbers add up:
/// `templates` = `placed` + `unreadable` + `unplaceable` + `lost`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every readable template was placed exactly once.
    exactly_once: bool,
    /// How many templates there are, the unreadable ones included.
    templates: usize,
    /// How many are at the site that the mapping names.
    placed: usize,
    /// How many could not be read.
    unreadable: usize,
    /// How many fit no site.
    unplaceable: usize,
    /// How many times a template is at a site that the mapping does not name.
    duplicates: usize,
    /// How many are at no site, though they would fit one.
    lost: usize,
    /// How long it took until all workers had stopped.
    seconds: f64,
    /// The engine.
    engine: String,
    /// The profile of delays; those of the network where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// What decided what is left to chance.
    seed: u64,
    /// Each template that is placed.
    rows: Vec<Row>,
    /// What was done to the workers, in order.
    faults: Vec<Fault>,
    /// Each template that could not be read, with the reason.
    unreadable_templates: BTreeMap<String, String>,
    /// Each template that fits no site, with the reason.
    unplaceable_templates: BTreeMap<String, String>,
    /// The duplicates.
    duplicate_entries: Vec<Entry>,
    /// The lost templates.
    lost_templates: Vec<String>,
    /// Sites of which more is taken than they have.
    overcommitted_sites: Vec<String>,
    /// What could not be cleaned up.
    unsettled_entries: Vec<Entry>,
}

/// Something that was made to fail, or to work again.
#[derive(Debug, Serialize)]
pub(crate) struct Fault {
    /// What was done.
    pub(crate) kind: &'static str,
    /// The worker, node or site.
    pub(crate) target: String,
    /// The step that a killed worker had just done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<&'static str>,
    /// The template that a killed worker was at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
    /// When, in seconds from the beginning.
    pub(crate) seconds: f64,
}

impl Report {
    /// Judges.
    pub(crate) fn new(
        script: &Script,
        stage: &Stage,
        audit: Audit,
        faults: Vec<Fault>,
        seconds: f64,
    ) -> Self {
        let unreadable = script.unreadable.iter();
        let unreadable: BTreeMap<String, String> = unreadable
            .map(|error| (error.name.clone(), error.reason.to_string()))
            .collect();
        let exactly_once = audit.rows.len() == script.templates.len()
            && audit.duplicates.is_empty()
            && audit.overcommitted.is_empty()
            && audit.unsettled.is_empty();
        Self {
            exactly_once,
            templates: script.templates.len() + unreadable.len(),
            placed: audit.rows.len(),
            unreadable: unreadable.len(),
            unplaceable: audit.unplaceable.len(),
            duplicates: audit.duplicates.len(),
            lost: audit.lost.len(),
            seconds,
            engine: stage.engine().to_owned(),
            profile: stage.profile().map(str::to_owned),
            seed: script.seed,
            rows: audit.rows,
            faults,
            unreadable_templates: unreadable,
            unplaceable_templates: audit.unplaceable,
            duplicate_entries: audit.duplicates,
            lost_templates: audit.lost,
            overcommitted_sites: audit.overcommitted,
            unsettled_entries: audit.unsettled,
        }
    }

    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        if self.exactly_once {
            Exit::Done
        } else {
            Exit::NotOnce
        }
    }

    /// The table, what is wrong, and the verdict.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(cells).collect();
        let table = columns(
            ["TEMPLATE", "SITE", "WORKER", "LOCKREF", "WHEN (UTC)"],
            &rows,
        );
        let mut lines = vec![String::new(), table, String::new()];
        let named = |what: &'static str, reasons: &BTreeMap<String, String>| -> Vec<String> {
            let reasons = reasons.iter();
            reasons
                .map(|(template, reason)| format!("{what}: {template}: {reason}"))
                .collect()
        };
        let at = |what: &'static str, entries: &[Entry]| -> Vec<String> {
            let entries = entries.iter();
            entries
                .map(|entry| format!("{what}: {} at {}", entry.template, entry.site))
                .collect()
        };
        lines.extend(named("unreadable", &self.unreadable_templates));
        lines.extend(named("unplaceable", &self.unplaceable_templates));
        lines.extend(at("duplicate", &self.duplicate_entries));
        lines.extend(at("not cleaned up", &self.unsettled_entries));
        lines.extend(
            self.lost_templates
                .iter()
                .map(|name| format!("lost: {name}")),
        );
        let sites = self.overcommitted_sites.iter();
        lines.extend(sites.map(|site| format!("more is taken than there is: {site}")));
        lines.push(self.verdict());
        lines.join("\n")
    }

    fn verdict(&self) -> String {
        let Self {
            templates,
            placed,
            unreadable,
            unplaceable,
            duplicates,
            lost,
            ..
        } = self;
        let verdict = if self.exactly_once {
            "every readable template was placed exactly once"
        } else {
            "NOT every readable template was placed exactly once"
        };
        format!(
            "{templates} templates: {placed} placed, {unreadable} unreadable, {unplaceable} \
             unplaceable, {duplicates} duplicates, {lost} lost, in {:.1} s\n{verdict}",
            self.seconds
        )
    }
}

fn cells(row: &Row) -> [String; 5] {
    [
        row.template.clone(),
        row.site.clone(),
        row.worker.clone(),
        row.token.to_string(),
        time_of_day(row.at_ms),
    ]
}

/// `hh:mm:ss.mmm`, UTC, of a time in ms since 1970.
fn time_of_day(at_ms: u64) -> String {
    let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_shown() {
        assert_eq!(time_of_day(0), "00:00:00.000");
        assert_eq!(time_of_day(86_400_000 + 3_661_042), "01:01:01.042");
    }
}
