//! dev
use stateright::{Checker, Model};
fn main() {
    for s in music_sim::model::SCENARIOS {
        if let Some(n) = std::env::args().nth(1)
            && n != s.name
        {
            continue;
        }
        let t = std::time::Instant::now();
        let c = music_sim::model::Sections::new(*s)
            .checker()
            .threads(2)
            .finish_when(stateright::HasDiscoveries::AnyFailures)
            .timeout(std::time::Duration::from_secs(
                std::env::args().nth(2).map_or(60, |s| s.parse().unwrap()),
            ))
            .spawn_bfs()
            .join();
        println!(
            "{}: {} unique, {} total, depth {}, {:?} {}",
            s.name,
            c.unique_state_count(),
            c.state_count(),
            c.max_depth(),
            t.elapsed(),
            s.bounds()
        );
        let d = c.discoveries();
        for p in c.model().properties() {
            let found = d.get(p.name);
            let bad = matches!(p.expectation, stateright::Expectation::Always) == found.is_some();
            if bad {
                println!("  BAD {}", p.name);
            }
            if let (Some(path), true) = (found, bad) {
                let last = path.last_state().clone();
                println!("{:#?}\n{:#?}", path.clone().into_actions(), last);
            }
        }
    }
}
