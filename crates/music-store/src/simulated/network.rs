//! Messages between places, and what becomes of each: delayed, overtaken,
//! lost, delivered twice, or stopped by a cut.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How messages fare, beside cuts.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The part of messages that are lost, 0 to 1.
    pub lost: f64,
    /// The part of messages that arrive twice, 0 to 1.
    pub twice: f64,
    /// The part of messages that are late, 0 to 1.
    pub late: f64,
    /// The longest time by which a late message is late.
    pub late_max: Duration,
    /// Every message takes up to this many times its link's delay longer.
    pub jitter: f64,
}

impl Weather {
    /// Every message arrives, once, in time.
    pub const CALM: Self = Self {
        lost: 0.0,
        twice: 0.0,
        late: 0.0,
        late_max: Duration::ZERO,
        jitter: 0.0,
    };
}

/// The links between a fixed number of sites; clones are the same network.
#[derive(Clone, Debug)]
pub struct Network(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: StdRng,
    weather: Weather,
    sites: usize,
    /// `links[from * sites + to]`.
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    delay: Duration,
    cut: bool,
}

impl Network {
    /// A network whose links take `delay(from, to)` in one direction, and
    /// whose chances all come from `seed`.
    pub fn new(sites: usize, seed: u64, delay: impl Fn(usize, usize) -> Duration) -> Self {
        let pairs = (0..sites).flat_map(|from| (0..sites).map(move |to| (from, to)));
        let links = pairs.map(|(from, to)| Link {
            delay: delay(from, to),
            cut: false,
        });
        Self(Arc::new(Mutex::new(State {
            dice: StdRng::seed_from_u64(seed),
            weather: Weather::CALM,
            sites,
            links: links.collect(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how messages fare from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Cuts or heals one direction of a link. What is on its way arrives.
    pub fn set_cut(&self, from: usize, to: usize, cut: bool) {
        if let Some(link) = self.state().link_mut(from, to) {
            link.cut = cut;
        }
    }

    /// Cuts a site off from all others in both directions, or heals all its
    /// links.
    pub fn set_isolated(&self, site: usize, isolated: bool) {
        let mut state = self.state();
        for other in (0..state.sites).filter(|other| *other != site) {
            for (from, to) in [(site, other), (other, site)] {
                if let Some(link) = state.link_mut(from, to) {
                    link.cut = isolated;
                }
            }
        }
    }

    /// Heals every link.
    pub fn heal(&self) {
        for link in &mut self.state().links {
            link.cut = false;
        }
    }

    /// Whether messages pass in both directions.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        let state = self.state();
        let passes = |from, to| state.link(from, to).is_some_and(|link| !link.cut);
        passes(a, b) && passes(b, a)
    }

    /// After how long a message sent now arrives: not at all, once, or twice.
    pub fn fates(&self, from: usize, to: usize) -> Vec<Duration> {
        self.state().fates(from, to)
    }

    /// True with this chance.
    pub fn chance(&self, chance: f64) -> bool {
        self.state().dice.random_bool(chance)
    }

    /// A random time below `limit`.
    pub fn some_time(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.state().dice.random_range(0.0..1.0))
    }

    /// A random number below `end`, which is above 0.
    pub fn below(&self, end: usize) -> usize {
        self.state().dice.random_range(0..end)
    }

    /// Delivers a message when it arrives, as often as it does.
    ///
    /// Must be called within a runtime.
    pub(super) fn send(&self, from: usize, to: usize, deliver: impl Fn() + Send + Sync + 'static) {
        let deliver = Arc::new(deliver);
        for delay in self.fates(from, to) {
            let deliver = Arc::clone(&deliver);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                deliver();
            });
        }
    }
}

impl State {
    fn link(&self, from: usize, to: usize) -> Option<&Link> {
        let row = from.checked_mul(self.sites)?;
        self.links.get(row.checked_add(to)?)
    }

    fn link_mut(&mut self, from: usize, to: usize) -> Option<&mut Link> {
        let row = from.checked_mul(self.sites)?;
        self.links.get_mut(row.checked_add(to)?)
    }

    fn fates(&mut self, from: usize, to: usize) -> Vec<Duration> {
        let Some(link) = self.link(from, to).copied() else {
            return Vec::new();
        };
        // Within a site nothing is lost: that is no wide area.
        let weather = if from == to {
            Weather::CALM
        } else {
            self.weather
        };
        if link.cut || self.dice.random_bool(weather.lost) {
            return Vec::new();
        }
        let times = if self.dice.random_bool(weather.twice) {
            2
        } else {
            1
        };
        (0..times).map(|_| self.delay(link, weather)).collect()
    }

    fn delay(&mut self, link: Link, weather: Weather) -> Duration {
        let jitter = link.delay.mul_f64(weather.jitter);
        let mut delay = link.delay + jitter.mul_f64(self.dice.random_range(0.0..1.0));
        if self.dice.random_bool(weather.late) {
            delay += weather.late_max.mul_f64(self.dice.random_range(0.0..1.0));
        }
        delay
    }
}
