//! Which node keeps a section, and which nodes it may never use again.
//!
//! A section that moves from node A to node B is adopted there. From the
//! moment B was asked, A must not be asked again: if the adoption takes hold,
//! A may go on for a while without knowing, and acknowledge writes of its own
//! incarnation that B's synchronization has ordered away. So a node is *left*
//! before the next one is asked, and comes back into question only where the
//! next one is known not to have done anything.

/// A node to talk to, and how often the section had moved by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The node.
    pub(crate) at: usize,
    /// Goes up with each move, and where a node took the section anew.
    pub(crate) epoch: u64,
    /// Whether the node has said that it keeps the section.
    pub(crate) settled: bool,
}

/// Where a section is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    at: usize,
    epoch: u64,
    /// The node that keeps the section, as far as is known.
    home: Option<usize>,
    /// The node that was last asked to take the section over.
    asked: Option<usize>,
    /// Nodes that are never asked again.
    left: Vec<bool>,
    /// Nodes that did not serve since the last success.
    tried: Vec<bool>,
}

impl Place {
    /// A section that was nowhere yet: `at` is asked first.
    pub(crate) fn new(nodes: usize, at: usize) -> Self {
        let none = vec![false; nodes];
        Self {
            at,
            epoch: 0,
            home: None,
            asked: None,
            left: none.clone(),
            tried: none,
        }
    }

    /// Whom to talk to.
    pub(crate) fn spot(&self) -> Spot {
        Spot {
            at: self.at,
            epoch: self.epoch,
            settled: self.home == Some(self.at),
        }
    }

    /// Notes that the present node is about to be asked to take the section,
    /// which may take hold from now on. Returns the place as it was.
    pub(crate) fn ask(&mut self) -> Self {
        let before = self.clone();
        let mut past = [self.home, self.asked]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        past.retain(|past| *past != self.at && !is(&self.left, *past));
        for past in &past {
            set(&mut self.left, *past);
        }
        self.epoch += u64::from(!past.is_empty());
        self.home = self.home.filter(|home| *home == self.at);
        self.asked = Some(self.at);
        before
    }

    /// Notes that what was asked since then is known to have had no effect.
    pub(crate) fn take_back(&mut self, before: Self) {
        let epoch = self.epoch;
        *self = Self { epoch, ..before };
    }

    /// Notes that the present node keeps the section.
    pub(crate) fn settle(&mut self) {
        self.home = Some(self.at);
        self.asked = Some(self.at);
        self.tried.fill(false);
    }

    /// Notes that the present node has forgotten the section.
    pub(crate) fn unsettle(&mut self) {
        self.home = None;
        self.epoch += 1;
    }

    /// Turns to another node, since the present one does not serve. `false`
    /// where every one was tried: then it starts over, from where the section
    /// may still be.
    pub(crate) fn turn(&mut self) -> bool {
        set(&mut self.tried, self.at);
        let nodes = self.left.len();
        let usable = |at: &usize| !is(&self.left, *at) && !is(&self.tried, *at);
        if let Some(next) = (1..nodes).map(|step| (self.at + step) % nodes).find(usable) {
            self.at = next;
            return true;
        }
        self.tried.fill(false);
        self.at = self.home.or(self.asked).unwrap_or(self.at);
        false
    }
}

fn set(flags: &mut [bool], at: usize) {
    if let Some(flag) = flags.get_mut(at) {
        *flag = true;
    }
}

fn is(flags: &[bool], at: usize) -> bool {
    flags.get(at).copied().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One that node 0 of three keeps.
    fn kept() -> Place {
        let mut place = Place::new(3, 0);
        place.ask();
        place.settle();
        place
    }

    #[test]
    fn a_node_that_was_left_is_never_asked_again() {
        let mut place = kept();
        assert!(place.turn());
        place.ask();
        place.settle();
        assert_eq!(
            place.spot(),
            Spot {
                at: 1,
                epoch: 1,
                settled: true
            }
        );
        assert!(place.turn());
        place.ask();
        assert_eq!(
            place.spot(),
            Spot {
                at: 2,
                epoch: 2,
                settled: false
            }
        );
        assert!(!place.turn(), "both others were left");
        assert_eq!(place.spot().at, 2);
    }

    #[test]
    fn a_node_is_kept_while_no_other_can_have_done_anything() {
        let mut place = kept();
        for at in [1, 2] {
            assert!(place.turn());
            assert_eq!(place.spot().at, at);
            let before = place.ask();
            place.take_back(before); // Refused: nothing was sent.
        }
        assert!(!place.turn());
        assert_eq!((place.spot().at, place.spot().settled), (0, true));
    }

    #[test]
    fn a_node_that_may_have_taken_over_is_asked_again_or_left() {
        let mut place = kept();
        place.turn();
        place.ask(); // No answer.
        place.ask(); // No answer again.
        assert_eq!(
            place.spot(),
            Spot {
                at: 1,
                epoch: 1,
                settled: false
            }
        );
        place.turn();
        let before = place.ask();
        place.take_back(before); // Node 2 refused.
        assert!(!place.turn());
        assert_eq!(place.spot().at, 1, "never back to node 0");
    }

    #[test]
    fn a_node_that_forgot_may_be_asked_to_take_over() {
        let mut place = kept();
        place.unsettle();
        place.ask();
        assert_eq!(
            place.spot(),
            Spot {
                at: 0,
                epoch: 1,
                settled: false
            }
        );
    }

    proptest! {
        #[test]
        fn whatever_happens_the_past_is_past(
            nodes in 1_usize..5,
            events in proptest::collection::vec(0_u8..4, 0..40),
        ) {
            let mut place = Place::new(nodes, 0);
            let mut asked: Vec<usize> = Vec::new();
            for event in events {
                match event {
                    0 => {
                        place.ask();
                        let at = place.spot().at;
                        if let Some(first) = asked.iter().position(|past| *past == at) {
                            prop_assert!(asked[first..].iter().all(|past| *past == at));
                        }
                        asked.push(at);
                    }
                    1 if asked.last() == Some(&place.spot().at) => place.settle(),
                    2 => place.unsettle(),
                    _ => { place.turn(); }
                }
            }
        }
    }
}
