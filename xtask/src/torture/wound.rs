//! One fault, from its beginning until what it hit serves again.

use std::time::Duration;

/// What a fault hits, at one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Its links to all others.
    Links,
    /// Its MUSIC node.
    Node,
    /// Its clients.
    Clients,
    /// Its node of the engine with this number.
    Engine(usize),
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The site is cut off.
    Cut,
    /// SIGKILL, and a start later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Pause,
}

/// A fault that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wound {
    pub(super) site: usize,
    pub(super) target: Target,
    pub(super) how: How,
    /// When it is undone, since the run began.
    pub(super) until: Duration,
    /// Whether it is undone, and what it hit has yet to recover.
    pub(super) heals: bool,
}

impl Wound {
    /// Whether the site's engines are not there for the others.
    pub(super) fn takes_site(&self) -> bool {
        matches!(self.target, Target::Links | Target::Engine(_))
    }
}

/// How likely a fault is, and how long it lasts, in milliseconds. Pauses are
/// shorter and longer than the leases of nodes (5 s) and clients (2 to 6 s).
pub(super) const FAULTS: [(Target, How, u32, std::ops::Range<u64>); 9] = [
    (Target::Links, How::Cut, 4, 2000..15_000),
    (Target::Node, How::Kill, 5, 100..8000),
    (Target::Node, How::Pause, 5, 300..12_000),
    (Target::Clients, How::Kill, 3, 100..2000),
    (Target::Clients, How::Pause, 4, 300..10_000),
    // Cassandra: it takes most of the machine when it starts.
    (Target::Engine(0), How::Kill, 1, 500..8000),
    (Target::Engine(0), How::Pause, 4, 500..12_000),
    (Target::Engine(1), How::Kill, 4, 500..8000),
    (Target::Engine(1), How::Pause, 4, 500..12_000),
];

/// Whether a site may be hit as well without a majority being taken away.
pub(super) fn leaves_majority(wounds: &[Wound], site: usize) -> bool {
    let mut taken = wounds.iter().filter(|wound| wound.takes_site());
    taken.all(|wound| wound.site == site)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wound(site: usize, target: Target) -> Wound {
        Wound {
            site,
            target,
            how: How::Kill,
            until: Duration::ZERO,
            heals: false,
        }
    }

    #[test]
    fn one_site_may_be_taken_wholly() {
        let wounds = [wound(1, Target::Links), wound(1, Target::Engine(0))];
        assert!(leaves_majority(&wounds, 1));
        assert!(!leaves_majority(&wounds, 0));
    }

    #[test]
    fn nodes_and_clients_take_no_majority() {
        let wounds = [wound(0, Target::Node), wound(1, Target::Clients)];
        assert!(leaves_majority(&wounds, 2));
    }
}
