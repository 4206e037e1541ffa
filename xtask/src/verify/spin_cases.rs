//! What Spin checks, and within which bounds.

use super::verdict::{Expected, Question};

/// How the states are explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Every state; the assertions hold in each.
    Exhaustive,
    /// Every state; every waiter is served on every fair path.
    Liveness,
    /// As many states as a minute and half a gigabyte of bits allow: a
    /// counterexample counts, its absence is no proof.
    Sampled,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lock_refs: u8,
    /// How many of them, from the first, may be adopted.
    adopted: u8,
    /// Synchronising writes, puts and gets of each holding.
    tries: u8,
    puts: u8,
    gets: u8,
    fields: u8,
}

/// A model to check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    name: &'static str,
    pub(super) search: Search,
    bounds: Bounds,
    broken: Option<Broken>,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug)]
struct Broken {
    /// The macro of the model that does so, without `BREAK_`.
    name: &'static str,
    /// What it does, for people.
    rule: &'static str,
}

const SMALL: Bounds = Bounds {
    lock_refs: 2,
    adopted: 0,
    tries: 1,
    puts: 1,
    gets: 0,
    fields: 1,
};

const ADOPTION: Bounds = Bounds {
    adopted: 1,
    ..SMALL
};

/// The model as it is.
const WHOLE: &[(&str, Search, Bounds)] = &[
    (
        "three holders",
        Search::Exhaustive,
        Bounds {
            lock_refs: 3,
            fields: 2,
            ..SMALL
        },
    ),
    (
        "retried synchronisation",
        Search::Exhaustive,
        Bounds {
            tries: 2,
            fields: 2,
            ..SMALL
        },
    ),
    (
        "pipelined puts",
        Search::Exhaustive,
        Bounds {
            puts: 2,
            fields: 2,
            ..SMALL
        },
    ),
    (
        "gets that repair",
        Search::Exhaustive,
        Bounds {
            gets: 1,
            fields: 2,
            ..SMALL
        },
    ),
    (
        "adoption",
        Search::Exhaustive,
        Bounds {
            fields: 2,
            ..ADOPTION
        },
    ),
    ("fair runs", Search::Liveness, ADOPTION),
    (
        "everything at once",
        Search::Sampled,
        Bounds {
            lock_refs: 3,
            adopted: 1,
            tries: 2,
            puts: 2,
            gets: 1,
            fields: 2,
        },
    ),
];

/// The model with one rule broken, within the bounds that show it.
const BROKEN: &[(&str, &str, Search, Bounds)] = &[
    (
        "TICK_BEFORE_LOCK_REF",
        "the tick comes before the lockRef in the stamp",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "NO_DELETION",
        "a synchronisation deletes nothing at its first tick",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "RETRY_KEEPS_STAMPS",
        "a retried synchronisation keeps its stamps",
        Search::Exhaustive,
        Bounds { tries: 2, ..SMALL },
    ),
    (
        "SYNCED_BEFORE_ACKNOWLEDGED",
        "`synced` is recorded, and the key granted, before the write is acknowledged",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "PEEK_ONE_REPLICA",
        "a peek asks one copy of the queue, which knows no other ticket",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "FORCE_SETS_NO_FLAG",
        "a forced release does not set the flag",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "FUSED_GRANT_IGNORES_FLAG",
        "the fused grant ignores the flag",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "RELEASE_WITH_PUT_UNDER_WAY",
        "a clean release while a put is unacknowledged",
        Search::Exhaustive,
        SMALL,
    ),
    (
        "LEAVE_WITH_SYNC_UNDER_WAY",
        "an adopter withdraws while its synchronising write is unacknowledged",
        Search::Exhaustive,
        ADOPTION,
    ),
    (
        "ADOPTER_RELEASES_EARLY",
        "an adopter releases before it has synchronised",
        Search::Exhaustive,
        ADOPTION,
    ),
    (
        "ADOPTION_WITHOUT_SYNC",
        "an adopter does not synchronise unless the flag is set",
        Search::Exhaustive,
        ADOPTION,
    ),
    (
        "RELEASE_WITHOUT_INCARNATION",
        "a late release of the former owner ends the adopter's section",
        Search::Exhaustive,
        ADOPTION,
    ),
    (
        "FORMER_OWNER_ACKNOWLEDGES",
        "a put of the former owner, acknowledged after the adoption, counts",
        Search::Exhaustive,
        ADOPTION,
    ),
    (
        "GET_WITHOUT_REPAIR",
        "a get does not repair",
        Search::Exhaustive,
        Bounds { gets: 1, ..SMALL },
    ),
    (
        "ONLY_HOLDERS_ARE_FORCED",
        "a silent waiter is not forced",
        Search::Liveness,
        SMALL,
    ),
];

/// Every case, the longest first.
pub(super) fn all() -> Vec<Case> {
    let whole = WHOLE.iter().map(|(name, search, bounds)| Case {
        name,
        search: *search,
        bounds: *bounds,
        broken: None,
    });
    let broken = BROKEN.iter().map(|(name, rule, search, bounds)| Case {
        name: "broken",
        search: *search,
        bounds: *bounds,
        broken: Some(Broken { name, rule }),
    });
    whole.chain(broken).collect()
}

impl Case {
    /// The name of its folder.
    pub(super) fn slug(&self) -> String {
        let name = self.broken.map_or(self.name, |broken| broken.name);
        name.to_lowercase().replace([' ', '_'], "-")
    }

    /// The macros of the model that fix the bounds, and break a rule.
    pub(super) fn definitions(&self) -> Vec<String> {
        let Bounds {
            lock_refs,
            adopted,
            tries,
            puts,
            gets,
            fields,
        } = self.bounds;
        let mut definitions = vec![
            format!("-DLOCK_REFS={lock_refs}"),
            format!("-DADOPTED={adopted}"),
            format!("-DTRIES={tries}"),
            format!("-DPUTS={puts}"),
            format!("-DGETS={gets}"),
            format!("-DFIELDS={fields}"),
        ];
        if self.search == Search::Liveness {
            definitions.push("-DLIVENESS".to_owned());
        }
        if let Some(broken) = self.broken {
            definitions.push(format!("-DBREAK_{}", broken.name));
        }
        definitions
    }

    pub(super) fn question(&self) -> Question {
        let property = match self.search {
            Search::Liveness => "liveness",
            Search::Exhaustive | Search::Sampled => "guarantees 1 to 4",
        };
        let expected = self.broken.map_or(Expected::Holds, |broken| {
            Expected::Broken(broken.rule.to_owned())
        });
        Question {
            model: format!("Spin, {}", self.name),
            property: property.to_owned(),
            bounds: self.bounds.in_words(),
            expected,
        }
    }
}

impl Bounds {
    fn in_words(self) -> String {
        let count = |number: u8, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {many}"),
        };
        [
            count(self.lock_refs, "lockRef", "lockRefs"),
            count(self.adopted, "adoption", "adoptions"),
            count(self.fields, "field", "fields"),
            format!("per holding: {}", count(self.tries, "try", "tries")),
            count(self.puts, "put", "puts"),
            count(self.gets, "get", "gets"),
        ]
        .join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_case_has_a_folder_of_its_own() {
        let slugs: BTreeSet<String> = all().iter().map(Case::slug).collect();
        assert_eq!(slugs.len(), all().len());
        assert!(slugs.contains("no-deletion"), "{slugs:?}");
    }

    #[test]
    fn the_bounds_are_macros_and_words() {
        let case = all().into_iter().next().unwrap();
        assert!(case.definitions().contains(&"-DLOCK_REFS=3".to_owned()));
        let bounds = "3 lockRefs, 0 adoptions, 2 fields, per holding: 1 try, 1 put, 0 gets";
        assert_eq!(case.question().bounds, bounds);
    }

    /// A macro that is misspelt on either side would break nothing.
    #[test]
    fn the_rules_broken_here_are_those_of_the_model() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formal/spin");
        let mut ours: BTreeSet<String> = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let names = text.split("BREAK_").skip(1).map(|rest| {
                let is_name = |c: &char| c.is_ascii_uppercase() || *c == '_';
                rest.chars().take_while(is_name).collect::<String>()
            });
            ours.extend(names.filter(|name| !name.is_empty()));
        }
        let cases: BTreeSet<String> = BROKEN.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(ours, cases);
    }
}
