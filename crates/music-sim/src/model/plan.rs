//! What the sections of a scenario may do, and how often things go wrong.

use music_core::lock_queue::Mode;

use crate::oracle::Touches;

/// A step of a section's client, in the order of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A put of a number of its own.
    Put(Touches),
    /// A get.
    Get,
    /// The first put once more, by its name, after the answer `unknown`.
    Retry,
}

/// How a section comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Its client asks for a lockRef.
    Create,
    /// The client of that earlier section has moved to this node.
    Adopt(usize),
    /// The node of that earlier section has kept its ticket.
    HandOver(usize),
}

/// How a section may end, when its client is through or has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Never of its own accord: as if the client or its node were dead.
    Never,
    /// By a release.
    Release,
    /// By a confirmed release.
    Confirm,
}

/// A section, at a node of its own.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How it comes to be.
    pub start: Start,
    /// Exclusive or shared.
    pub mode: Mode,
    /// What its client does once it is granted.
    pub ops: &'static [Op],
    /// How it may end.
    pub end: End,
    /// Whether its client may release it before it is granted.
    pub gives_up: bool,
    /// Whether its node asks for it, for the sections that wait there.
    pub of_node: bool,
}

/// Something that a scenario must reach somewhere, lest it check nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A ticket was forced out.
    Forced,
    /// A key was synchronised.
    Synchronised,
    /// An adopter was granted.
    Adopted,
    /// A section was confirmed.
    Confirmed,
    /// A section found that it is lost.
    Lost,
    /// Two shared sections were granted together.
    Together,
    /// Every section was granted, whatever became of it.
    AllGranted,
    /// A put was acknowledged after the answer `unknown`.
    Retried,
    /// A ticket of a higher incarnation than its adoptions made.
    Renumbered,
    /// A section was granted under a ticket that its node had kept.
    HandedOver,
}

impl Reach {
    /// A name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forced => "a ticket is forced",
            Self::Synchronised => "a key is synchronised",
            Self::Adopted => "an adopter is granted",
            Self::Confirmed => "a section is confirmed",
            Self::Lost => "a section is lost",
            Self::Together => "shared sections are granted together",
            Self::AllGranted => "every section is granted",
            Self::Retried => "a retried put is acknowledged",
            Self::Renumbered => "the ticks start again",
            Self::HandedOver => "a kept ticket is handed over",
        }
    }
}

/// How often things go wrong, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Calls whose answer is lost: `unknown`. Writes may land later, commands
    /// take effect later.
    pub lost: u8,
    /// Owners taken for dead.
    pub suspicions: u8,
    /// Nodes whose lease runs out.
    pub lapses: u8,
    /// Clients whose own lease runs out.
    pub silences: u8,
}

/// A small world, explored exhaustively.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// A name for the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The sections; their tickets are asked for in this order.
    pub plans: &'static [Plan],
    /// What may go wrong.
    pub faults: Faults,
    /// Whether an owner is suspected only after its lease ran out.
    pub respects_leases: bool,
    /// Whether a holder is told that it was forced.
    pub tells_holders: bool,
    /// Whether the first section has used up all ticks but this many.
    pub ticks_left: Option<u32>,
    /// What must be reached.
    pub reaches: &'static [Reach],
}

impl Scenario {
    /// The bounds in words.
    pub fn bounds(&self) -> String {
        let Faults {
            lost,
            suspicions,
            lapses,
            silences,
        } = self.faults;
        let adopters = self.plans.iter();
        let adopts = |plan: &&Plan| matches!(plan.start, Start::Adopt(_));
        let adopters = adopters.filter(adopts).count();
        let ops: usize = self.plans.iter().map(|plan| plan.ops.len()).sum();
        format!(
            "{} sections ({adopters} adopting), {ops} operations, {lost} lost answers, \
             {suspicions} suspicions{}, {lapses} lapsed leases, {silences} silent clients",
            self.plans.len(),
            if self.respects_leases {
                ""
            } else {
                " (false ones too)"
            },
        )
    }
}
