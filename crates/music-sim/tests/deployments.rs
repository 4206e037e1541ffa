//! Whole deployments under a few seeds; `cargo xtask sim` runs more.

use std::collections::BTreeSet;
use std::time::Duration;

use music_sim::deployment::batch::Narrowing;
use music_sim::deployment::settings::{Fault, Settings};
use music_sim::deployment::{run, verdict};
use music_sim::history::What;

#[test]
fn every_guarantee_is_kept_and_all_come_to_rest() {
    for seed in 0..8 {
        let run = run(&Settings::of_seed(seed)).unwrap();
        assert_eq!(verdict(&run), Vec::<String>::new(), "seed {seed}");
        let granted = |what: &What| matches!(what, What::Granted { .. });
        let grants = run.history.iter().filter(|event| granted(&event.what));
        assert!(grants.count() > 3, "seed {seed} does nothing");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let settings = Settings::of_seed(3);
    let (first, second) = (run(&settings).unwrap(), run(&settings).unwrap());
    assert_eq!(first.history, second.history);
    assert_eq!(first.trace, second.trace);
    let other = run(&Settings::of_seed(4)).unwrap();
    assert_ne!(first.trace, other.trace);
}

#[test]
fn a_verdict_names_what_is_broken() {
    let mut run = run(&Settings::of_seed(2)).unwrap();
    // A section that is told of a token that another had before.
    let mut first = None;
    for event in &mut run.history {
        if let What::Granted { tokens, .. } = &mut event.what {
            match &first {
                None => first = Some(tokens.clone()),
                Some(first) => {
                    for (key, token) in tokens {
                        *token = first.get(key).copied().unwrap_or(*token);
                    }
                }
            }
        }
    }
    let verdict = verdict(&run);
    assert!(
        verdict.iter().any(|line| line.contains("exclusion")),
        "{verdict:?}"
    );
}

#[test]
fn what_narrows_a_seed_down_is_told_as_words_of_the_command_line() {
    let own = Settings::of_seed(7);
    assert_eq!(own.narrowing(), "");
    let narrowing = Narrowing {
        length: Some(Duration::from_millis(700)),
        clients: Some(1),
        without: BTreeSet::from([Fault::Storm, Fault::KillNode]),
        ..Narrowing::default()
    };
    let words = narrowing.settings(7).narrowing();
    assert_eq!(
        words,
        " --length-ms 700 --clients 1 --without kill-node --without storm"
    );
}
