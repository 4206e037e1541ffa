//! No input panics, hangs, or names a template that needs more than bounds allow.

use proptest::prelude::*;

use super::*;
use crate::load::built_in_files;

/// What a mutation puts in: the parts of YAML and HOT that mean something.
const FRAGMENTS: [&str; 34] = [
    ":",
    " ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "%index%",
    "get_param: ",
    "str_replace: ",
    "if: ",
    "count: 999",
    "size: -1",
    "type: OS::Heat::ResourceGroup",
    "type: tier.yaml",
    "resource_def: ",
    "properties: ",
    "condition: ",
    "\u{feff}",
    "\u{85}",
    "\0",
    "---\n",
    "18446744073709551616",
];

/// Puts a fragment at a position, after taking some characters out.
fn mutate(text: &str, edits: &[(usize, usize, usize)]) -> String {
    let mut symbols: Vec<char> = text.chars().collect();
    for (position, taken, fragment) in edits {
        let start = position % (symbols.len() + 1);
        let end = (start + taken).min(symbols.len());
        let put = FRAGMENTS[fragment % FRAGMENTS.len()].chars();
        symbols.splice(start..end, put);
    }
    symbols.into_iter().collect()
}

fn read_bounded(name: &str, files: &Files) {
    let catalogue = Catalogue::built_in().unwrap();
    if let Ok(template) = Reader::new(&catalogue).read(name, files) {
        assert!(template.servers.len() + template.volumes.len() <= RESOURCES_MAX);
        assert!(template.files.len() <= FILES_MAX);
        let gb: u64 = template.volumes.iter().map(|volume| volume.gb).sum();
        assert_eq!(template.demand.volume_gb, gb);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        read_bounded("a.yaml", &Files::from([("a.yaml".to_owned(), text.clone())]));
        let below_a_sound_head = format!("{HEAD}resources:\n  a: {text}");
        read_bounded("a.yaml", &Files::from([("a.yaml".to_owned(), below_a_sound_head)]));
    }

    #[test]
    fn any_run_of_fragments_is_read_or_refused(
        fragments in proptest::collection::vec(proptest::sample::select(&FRAGMENTS[..]), 0..60)
    ) {
        let text = format!("{HEAD}resources:\n{}", fragments.concat());
        read_bounded("a.yaml", &Files::from([("a.yaml".to_owned(), text)]));
    }

    #[test]
    fn any_mutation_of_a_sound_template_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((0..4_000_usize, 0..12_usize, any::<usize>()), 1..8),
    ) {
        let mut files = built_in_files();
        let name = which.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let mutated = mutate(&files[&name], &edits);
        files.insert(name.clone(), mutated);
        for name in [name.as_str(), "three_tier.yaml"] {
            read_bounded(name, &files);
        }
    }

    #[test]
    fn any_reference_stays_in_the_folder(
        including in "[a_][a_/.]{0,12}\\.yaml",
        reference in "[ab_/.:\\\\]{0,16}",
    ) {
        for name in source::candidates(&including, &reference).into_iter().flatten() {
            prop_assert!(!name.starts_with('/'), "{name:?}");
            // The including file is one of the folder: what it brings along may
            // hold dots, but the reference must not add a way up.
            if !including.contains("..") {
                prop_assert!(!name.split('/').any(|step| step == ".."), "{name:?}");
            }
        }
    }
}
