//! What a fuzzer, and the test that repeats its finds, tries on templates and
//! on the files that go with them.

use std::sync::LazyLock;

use crate::hot::{FILES_MAX, RESOURCES_MAX};
use crate::{Catalogue, CatalogueError, Environment, Files, Reader};

/// Divides the files of an input.
const DIVIDER: &str = "\n%%\n";

static CATALOGUE: LazyLock<Result<Catalogue, CatalogueError>> = LazyLock::new(Catalogue::built_in);

/// Reads a template: what it needs stays within bounds.
///
/// Further files may follow it, divided by `%%`: the first is `a.yaml`, the
/// next `b.yaml`, and so on; the last is also read as an environment.
///
/// # Panics
/// Where that does not hold.
pub fn hot_template(bytes: &[u8]) {
    let (Ok(text), Ok(catalogue)) = (std::str::from_utf8(bytes), &*CATALOGUE) else {
        return;
    };
    let names = ('a'..='z').map(|letter| format!("{letter}.yaml"));
    let texts = text.split(DIVIDER).map(str::to_owned);
    let files: Files = names.zip(texts).collect();
    let environment = text.rsplit(DIVIDER).next().map(Environment::read);
    let environment = environment.and_then(Result::ok).unwrap_or_default();
    let reader = Reader::new(catalogue).with_environment(environment);
    let Ok(template) = reader.read("a.yaml", &files) else {
        return;
    };
    assert!(template.servers.len() + template.volumes.len() <= RESOURCES_MAX);
    assert!(template.files.len() <= FILES_MAX);
    let gb: u64 = template.volumes.iter().map(|volume| volume.gb).sum();
    assert_eq!(template.demand.volume_gb, gb);
    // The files that a template keeps are enough to read it again.
    let again = reader.read("a.yaml", &template.files);
    assert_eq!(again.as_ref().ok(), Some(&template), "{again:?}");
}

/// Reads a catalogue: each site of one that can be read has a capacity.
///
/// # Panics
/// Where that does not hold.
pub fn placement_catalogue(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Catalogue::read(text) {
        Ok(catalogue) => {
            assert!(catalogue.flavor(catalogue.default_flavor()).is_some());
            for (name, flavor) in catalogue.flavors() {
                assert_eq!(catalogue.flavor(name), Some(flavor));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_templates() {
        replay::replay("hot_template", hot_template);
    }

    #[test]
    fn the_corpus_of_catalogues() {
        replay::replay("placement_catalogue", placement_catalogue);
    }
}
