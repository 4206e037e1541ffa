//! Links in Markdown to files of the repository lead somewhere.

use super::source::Source;
use super::{Problem, tree::Tree};

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.sources().iter().filter(|source| source.is_markdown()) {
        for (line, target) in targets(source) {
            if !leads_somewhere(tree, source, &target) {
                let message = format!("`{target}` leads nowhere in this repository");
                problems.push(Problem::new(&source.path, line, message));
            }
        }
    }
    problems
}

/// The targets of all links outside code, each with its line.
fn targets(source: &Source) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut is_code = false;
    for line in &source.lines {
        if line.text.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let found = targets_in(&without_code(&line.text));
            targets.extend(found.into_iter().map(|target| (line.number, target)));
        }
    }
    targets
}

/// Every other piece between back quotes is code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets in `[text](target)` and `[name]: target`.
fn targets_in(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_, target)| target.split_whitespace().next());
    inline
        .chain(reference)
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

fn leads_somewhere(tree: &Tree, source: &Source, target: &str) -> bool {
    let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
    let path = target.split('#').next().unwrap_or_default();
    if is_elsewhere || path.is_empty() {
        return true;
    }
    resolve(&source.path, path).is_some_and(|path| tree.has(&path))
}

/// The path from the root that a link in a file means; `None` outside the
/// repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let (folder, target) = match target.strip_prefix('/') {
        Some(absolute) => ("", absolute),
        None => (
            from.rsplit_once('/').map_or("", |(folder, _)| folder),
            target,
        ),
    };
    let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()?),
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        let files = [("docs/a.md", text), ("docs/b/c.md", ""), ("README.md", "")];
        check(&Tree::of(&files)).len()
    }

    #[test]
    fn a_link_to_nothing_is_an_error() {
        assert_eq!(count("[x](c.md) and [y](b/d.md#e)\n[z]: ../b/c.md\n"), 3);
    }

    #[test]
    fn a_link_out_of_the_repository_is_an_error() {
        assert_eq!(count("[x](../../shared/d.md)"), 1);
    }

    #[test]
    fn links_that_lead_somewhere_are_none() {
        assert_eq!(
            count("[x](b/c.md#e), [y](../README.md), [z](b/)\n[w]: /docs/a.md 'title'\n"),
            0
        );
        assert_eq!(
            count("[x](https://example.org/d) [y](#part) [z](mailto:a@example.org)"),
            0
        );
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(count("`a[0](x)` text\n```rust\nf[1](y)\n```\n"), 0);
    }
}
