//! Runs the Alloy analyzer without a window, and reads its answers.
//!
//! A command of a model says itself what is expected of it: `check` no
//! counterexample, `run` an instance, and a check named `x_breaks_y`, which
//! breaks rule x, a counterexample to y.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::verdict::{Expected, Finding, Question, Verdict};
use crate::clock::Stopwatch;
use crate::packages::{self, package};
use crate::shell;

/// The analyzer's coordinates at Maven Central.
const ARTIFACT: &str = "org.alloytools:org.alloytools.alloy.dist:6.2.0";
const JAR: &str = "org.alloytools.alloy.dist-6.2.0.jar";
/// Pure Java, so it is the same everywhere.
const SOLVER: &str = "sat4j";

/// The analyzer, and where it works.
pub(super) struct Analyzer {
    jar: PathBuf,
    models: PathBuf,
    folder: PathBuf,
}

/// A command of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The model's file, without its ending.
    model: String,
    name: String,
    /// From `for` on.
    scope: String,
    expected: Expected,
}

impl Analyzer {
    /// Finds the analyzer's jar, or downloads it.
    ///
    /// # Errors
    ///
    /// When there is none, and Maven is missing or fails.
    pub(super) fn find(root: &Path, folder: &Path) -> Result<Self> {
        let jar = folder.join(JAR);
        if !jar.is_file() {
            packages::ensure_debian_packages(root, &[package("maven", "mvn")])?;
            let mut maven = shell::program(root, "mvn", &["-q", "-B", "dependency:copy"]);
            maven.arg(format!("-Dartifact={ARTIFACT}"));
            maven.arg(format!("-DoutputDirectory={}", folder.display()));
            shell::run(&mut maven)
                .with_context(|| format!("put {JAR} into {}", folder.display()))?;
        }
        Ok(Self {
            jar,
            models: root.join("formal/alloy"),
            folder: folder.join("alloy"),
        })
    }

    /// Every command of every model.
    ///
    /// # Errors
    ///
    /// When a model cannot be read, or has no command.
    pub(super) fn commands(&self) -> Result<Vec<Asked>> {
        let mut models: Vec<String> = Vec::new();
        let context = || format!("cannot read {}", self.models.display());
        for entry in fs::read_dir(&self.models).with_context(context)? {
            let path = entry.with_context(context)?.path();
            let name = path.file_stem().unwrap_or_default();
            models.push(name.to_string_lossy().into_owned());
        }
        models.sort();
        let mut all = Vec::new();
        for model in models {
            let file = format!("{model}.als");
            let listed = shell::output(self.java(&["commands"]).arg(&file))?;
            let lines = listed.lines().filter(|line| !line.trim().is_empty());
            let asked: Option<Vec<Asked>> = lines.map(|line| asked(&model, line)).collect();
            let asked = asked.filter(|asked| !asked.is_empty());
            // One that is not understood must not be left out in silence.
            all.extend(asked.with_context(|| format!("{file}: no commands:\n{listed}"))?);
        }
        Ok(all)
    }

    /// Executes one command.
    ///
    /// # Errors
    ///
    /// When the analyzer ends without an answer.
    pub(super) fn check(&self, asked: &Asked) -> Result<Finding> {
        let stopwatch = Stopwatch::start();
        let folder = self.folder.join(&asked.model).join(&asked.name);
        let mut java = self.java(&["exec", "-f", "-s", SOLVER, "-t", "text"]);
        java.arg("-o").arg(&folder).args(["-c", &asked.name]);
        // It fails too when the answer is not the one that the model expects.
        let output = java
            .arg(format!("{}.als", asked.model))
            .output()
            .context("cannot start java")?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let found = is_satisfiable(&printed, &asked.name)
            .with_context(|| format!("{}: no answer from Alloy:\n{printed}", asked.name))?;
        let question = asked.question();
        let (verdict, history) = if found {
            let file = folder.join(format!("{}-solution-0.txt", asked.name));
            let instance = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            (
                Verdict::Found(question.property.clone()),
                readable(&instance),
            )
        } else {
            (Verdict::Holds, String::new())
        };
        Ok(Finding {
            question,
            verdict,
            states: None,
            is_exhaustive: true,
            took: stopwatch.elapsed(),
            history,
        })
    }

    fn java(&self, arguments: &[&str]) -> Command {
        let mut java = shell::program(&self.models, "java", &["-Djava.awt.headless=true"]);
        java.args(["-Xmx2g", "-jar"]).arg(&self.jar).args(arguments);
        java
    }
}

impl Asked {
    fn question(&self) -> Question {
        let property = match self.name.split_once("_breaks_") {
            Some((_, property)) => property,
            None => &self.name,
        };
        Question {
            model: format!("Alloy, {}", self.model.replace('_', " ")),
            property: property.replace('_', " "),
            bounds: self.scope.clone(),
            expected: self.expected.clone(),
        }
    }
}

/// Reads a line of the list of commands:
/// `2 . Check no_deletion_breaks_it for 4 but 2 Stamp expect 1`.
fn asked(model: &str, line: &str) -> Option<Asked> {
    let (_, command) = line.split_once('.')?;
    let (kind, rest) = command.trim().split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    let scope = rest.split(" expect ").next()?.trim();
    let expected = match (kind, name.split_once("_breaks_")) {
        ("Run", _) => Expected::Possible,
        ("Check", Some((rule, _))) => Expected::Broken(rule.replace('_', " ")),
        ("Check", None) => Expected::Holds,
        _ => return None,
    };
    Some(Asked {
        model: model.to_owned(),
        name: name.to_owned(),
        scope: scope.to_owned(),
        expected,
    })
}

/// Reads the line `00. check name  0  1/1  SAT`; `None` without such a line.
fn is_satisfiable(printed: &str, name: &str) -> Option<bool> {
    let line = printed
        .lines()
        .find(|line| line.split_whitespace().nth(2) == Some(name))?;
    line.split_whitespace().find_map(|word| match word {
        "SAT" => Some(true),
        "UNSAT" => Some(false),
        _ => None,
    })
}

/// An instance without what is the same in each.
fn readable(instance: &str) -> String {
    let is_constant = |line: &&str| {
        ["univ=", "Int=", "seq/Int=", "String=", "none="]
            .iter()
            .any(|constant| line.starts_with(constant))
    };
    let lines: Vec<&str> = instance
        .lines()
        .filter(|line| !is_constant(line) && !line.contains("/Ord"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_expects_no_counterexample_and_a_run_an_instance() {
        let check = asked("m", "0 . Check it_holds for 4 but 2 Stamp expect 0").unwrap();
        assert_eq!(check.expected, Expected::Holds);
        assert_eq!(check.scope, "for 4 but 2 Stamp");
        let run = asked("m", "10. Run it_exists for 3 but 1..11 steps expect 1").unwrap();
        assert_eq!(run.expected, Expected::Possible);
    }

    #[test]
    fn a_check_that_breaks_a_rule_names_rule_and_property() {
        let check = asked("m", "2 . Check no_deletion_breaks_it_all for 4 expect 1").unwrap();
        assert_eq!(check.expected, Expected::Broken("no deletion".to_owned()));
        assert_eq!(check.question().property, "it all");
    }

    #[test]
    fn what_is_no_command_is_not_asked() {
        for line in ["", "Syntax error in m.als", "0 . Define x for 3"] {
            assert_eq!(asked("m", line), None, "{line}");
        }
    }

    #[test]
    fn the_answer_is_read_from_the_line_of_the_command() {
        let printed = "00. check it_holds     0       UNSAT\n01. check other    0    1/1     SAT\n";
        assert_eq!(is_satisfiable(printed, "it_holds"), Some(false));
        assert_eq!(is_satisfiable(printed, "other"), Some(true));
    }

    #[test]
    fn without_an_answer_there_is_none() {
        let error = "[main] ERROR alloy - Syntax error in m.als at line 49 column 6:";
        for printed in ["", error, "00. check it_holds", "00. check other 0 UNSAT"] {
            assert_eq!(is_satisfiable(printed, "it_holds"), None, "{printed}");
        }
    }

    #[test]
    fn an_instance_is_shown_without_its_constants() {
        let instance = "---Trace---\nuniv={A$0, 1}\nInt={1}\nthis/Stamp={Stamp$0}\n\
                        ticks/Ord<:First={ticks/Ord$0->Tick$0}\n";
        assert_eq!(readable(instance), "---Trace---\nthis/Stamp={Stamp$0}");
    }
}
