//! Recipes in whole deployments under a few seeds; `cargo xtask sim --recipes`
//! runs more.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum as _;
use music_sim::deployment::batch::{self, Batch, Narrowing};
use music_sim::deployment::settings::Settings;
use music_sim::deployment::{run, verdict};
use music_sim::recipes::log::{Answer, What};
use music_sim::recipes::trades::Trade;

/// A run of some seed that uses one recipe.
fn settings(seed: u64, trade: Trade) -> Settings {
    Settings {
        trades: BTreeSet::from([trade]),
        length: Duration::from_secs(4),
        ..Settings::of_recipes(seed)
    }
}

#[test]
fn every_promise_is_kept_and_all_come_to_rest() {
    let batch = Batch {
        from: 0,
        seeds: 24,
        jobs: 2,
        narrowing: Narrowing {
            recipes: true,
            length: Some(Duration::from_secs(6)),
            ..Narrowing::default()
        },
        twice_every: 8,
    };
    let report = batch::run(&batch, || true).unwrap();
    let failing = report.failing.map(|failing| {
        let words = failing.settings.narrowing();
        format!(
            "seed {}{words}: {:?}",
            failing.settings.seed, failing.verdict
        )
    });
    assert_eq!(failing, None);
    let seen: BTreeSet<&str> = report.sightings.iter().map(|(what, _)| what).collect();
    for what in [
        "a client crashed",
        "a hold that was lost",
        "a call without an answer",
    ] {
        assert!(seen.contains(what), "{what} was never seen");
    }
}

#[test]
fn each_recipe_is_used() {
    for (seed, trade) in (500..).zip(Trade::value_variants().iter().copied()) {
        let run = run(&settings(seed, trade)).unwrap();
        assert_eq!(verdict(&run), Vec::<String>::new(), "{trade}");
        let answered = |what: &What| matches!(what, What::Answered(answer) if is_done(answer));
        let answers = run.recipes.iter().filter(|line| answered(&line.what));
        assert!(answers.count() > 3, "{trade} does nothing");
    }
}

fn is_done(answer: &Answer) -> bool {
    !matches!(answer, Answer::Failed { .. } | Answer::Nothing)
}

#[test]
fn a_verdict_names_the_promise_that_was_broken() {
    let mut run = run(&settings(1, Trade::Counter)).unwrap();
    assert_eq!(verdict(&run), Vec::<String>::new());
    for line in &mut run.recipes {
        if let What::Answered(Answer::Number(number)) = &mut line.what {
            *number += 1;
        }
    }
    let verdict = verdict(&run);
    assert!(verdict[0].starts_with("counter: "), "{verdict:?}");
}
