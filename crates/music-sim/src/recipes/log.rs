//! What clients asked of recipes, and what they were answered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The number of a call.
pub type Call = u64;

/// A call of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// To hold something exclusively, or beside other readers.
    Hold {
        /// What is asked for; what is held the answer says.
        of: &'static str,
        /// Whether others may read beside.
        shared: bool,
    },
    /// To read the state of a thing that the call `hold` holds.
    Load {
        /// The call that holds it.
        hold: Call,
        /// Which thing.
        thing: String,
    },
    /// To write it.
    Store {
        /// The call that holds it.
        hold: Call,
        /// Which thing.
        thing: String,
        /// A value that nobody else writes.
        value: u64,
    },
    /// To use something outside that is fenced by tokens.
    Touch {
        /// Which thing.
        thing: String,
        /// The fencing token.
        token: u64,
    },
    /// The next leader that an observer sees.
    Observe {
        /// Which observer.
        observer: Call,
    },
    /// To add to a counter.
    Add {
        /// How much, one or more.
        by: u64,
    },
    /// To read a counter.
    Number,
    /// To set a register.
    Set {
        /// A value that nobody else sets.
        value: u64,
        /// The version that is expected, if any is.
        expected: Option<u64>,
    },
    /// To read a register.
    Get,
    /// To count a latch down.
    CountDown {
        /// Which latch.
        latch: u64,
    },
    /// To wait until a latch is open.
    Open {
        /// Which latch.
        latch: u64,
    },
    /// To push items.
    Push {
        /// Values that nobody else pushes.
        values: Vec<u64>,
    },
    /// To take items.
    Take {
        /// For how long.
        claim_us: u64,
    },
    /// To end or prolong the claim of an item.
    Settle {
        /// The item's value.
        value: u64,
        /// The token under which it was taken.
        token: u64,
        /// What becomes of it.
        how: Settling,
    },
    /// How many items there are, when all should be done.
    Length,
    /// To do a step once.
    Run {
        /// Which step.
        step: u64,
    },
    /// The step does what it is for. There is no answer.
    Effect {
        /// Which step.
        step: u64,
        /// The fencing token.
        token: u64,
        /// Its result.
        result: u64,
        /// Whether it fails, having done nothing.
        fails: bool,
    },
    /// To say that an interrupted step was not done.
    Forget {
        /// Which step.
        step: u64,
    },
    /// To say that an interrupted step was done.
    SettleStep {
        /// Which step.
        step: u64,
        /// With what result.
        result: u64,
    },
    /// To cross a barrier.
    Cross {
        /// Which barrier.
        barrier: Barrier,
        /// Which party.
        party: usize,
        /// Of how many.
        parties: usize,
    },
    /// The members of a group, when all has come to rest.
    Members {
        /// Those who joined, and are alive.
        alive: Vec<String>,
    },
    /// Something that must succeed when all has come to rest.
    Rest {
        /// What it is.
        what: &'static str,
    },
}

/// What becomes of an item's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// The item is done.
    Done,
    /// It is given back.
    GiveBack,
    /// It is claimed for so long from now on.
    Renew {
        /// How long.
        claim_us: u64,
    },
}

/// A barrier, and which crossing of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Barrier {
    /// A barrier's next one.
    Single,
    /// A double barrier's next one in.
    Enter,
    /// A double barrier's next one out.
    Leave,
}

/// The answer of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It failed.
    Failed {
        /// Whether it may have had its effect.
        perhaps: bool,
        /// How.
        why: String,
    },
    /// It was done.
    Done,
    /// It was not granted, or not met, within its wait; nothing is left of it.
    Nothing,
    /// These things are held, each under that token.
    Held(Vec<(String, u64)>),
    /// The state is this.
    Value(Option<u64>),
    /// Whether the thing outside accepted it.
    Accepted(bool),
    /// Under this token somebody leads, or nobody does.
    Leader(Option<u64>),
    /// The number is this.
    Number(i64),
    /// The register has this version now; an error where another one than the
    /// expected was found.
    Version(Result<u64, u64>),
    /// The register has this version and this value.
    Found(u64, Option<u64>),
    /// These items were taken.
    Taken(Vec<Taken>),
    /// The claim was lost.
    ClaimLost,
    /// The recipe refuses what it must not refuse.
    Refused(String),
    /// The step's result.
    Result(u64),
    /// The step itself failed.
    StepFailed,
    /// The step was interrupted, begun under that token.
    Interrupted(u64),
    /// Whether anything was changed.
    Changed(bool),
    /// The crossing of that number.
    Crossed {
        /// Which one.
        number: u64,
        /// Whether this party was the last to arrive.
        last: bool,
    },
    /// These members.
    Members(Vec<String>),
}

/// An item as a taker has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its value.
    pub value: u64,
    /// Its id.
    pub id: String,
    /// The fencing token.
    pub token: u64,
    /// How often it was delivered.
    pub deliveries: u32,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When, in microseconds since the start.
    pub at_us: u64,
    /// Which client.
    pub client: u32,
    /// Which call.
    pub call: Call,
    /// What happened.
    pub what: What,
}

/// A call begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It begins.
    Asked(Ask),
    /// It ends.
    Answered(Answer),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at_us / 1000, self.at_us % 1000);
        let (client, call) = (self.client, self.call);
        write!(f, "{ms:>7}.{us:03} ms  client {client} call {call} ")?;
        match &self.what {
            What::Asked(ask) => write!(f, "asks {ask:?}"),
            What::Answered(answer) => write!(f, "is answered {answer:?}"),
        }
    }
}

/// The log of a run; clones write the same one.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    start: Instant,
    written: Vec<Line>,
    numbers: u64,
}

impl Log {
    /// An empty log, which begins at that time.
    pub(crate) fn since(start: Instant) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            start,
            written: Vec::new(),
            numbers: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that was not given out before.
    pub(crate) fn number(&self) -> u64 {
        let mut log = self.lock();
        log.numbers += 1;
        log.numbers
    }

    /// A call begins.
    pub(crate) fn ask(&self, client: u32, ask: Ask) -> Call {
        let call = self.number();
        self.note(client, call, What::Asked(ask));
        call
    }

    /// It ends.
    pub(crate) fn answer(&self, client: u32, call: Call, answer: Answer) {
        self.note(client, call, What::Answered(answer));
    }

    fn note(&self, client: u32, call: Call, what: What) {
        let mut log = self.lock();
        let at_us = u64::try_from(log.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        log.written.push(Line {
            at_us,
            client,
            call,
            what,
        });
    }

    /// What was written so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lock().written.clone()
    }
}

/// A call with its answer. Moments are places in the log: what is at a lower
/// one happened before.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its number.
    pub call: Call,
    /// Whose it is.
    pub client: u32,
    /// What was asked.
    pub ask: Ask,
    /// When.
    pub begun: usize,
    /// When, in microseconds.
    pub begun_us: u64,
    /// The answer, if there ever was one.
    pub answer: Option<Answer>,
    /// When it came; after everything where it never came.
    pub ended: usize,
    /// When, in microseconds.
    pub ended_us: u64,
}

impl Op {
    /// Whether it may have had its effect, as far as its client knows.
    pub fn is_possible(&self) -> bool {
        !matches!(
            self.answer,
            Some(
                Answer::Failed { perhaps: false, .. }
                    | Answer::Nothing
                    | Answer::ClaimLost
                    | Answer::Refused(_)
            )
        )
    }

    /// Whether it was done, for all that its client knows.
    pub fn is_sure(&self) -> bool {
        match &self.answer {
            Some(Answer::Failed { .. }) | None => false,
            Some(_) => self.is_possible(),
        }
    }

    /// Whether it had ended when the other one began.
    pub fn is_before(&self, other: &Self) -> bool {
        self.ended < other.begun
    }
}

/// The calls of a log, in the order in which they began.
pub fn ops(lines: &[Line]) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let mut at_of: BTreeMap<Call, usize> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        match &line.what {
            What::Asked(ask) => {
                at_of.insert(line.call, ops.len());
                ops.push(Op {
                    call: line.call,
                    client: line.client,
                    ask: ask.clone(),
                    begun: at,
                    begun_us: line.at_us,
                    answer: None,
                    ended: usize::MAX,
                    ended_us: u64::MAX,
                });
            }
            What::Answered(answer) => {
                let op = at_of.get(&line.call).and_then(|at| ops.get_mut(*at));
                if let Some(op) = op {
                    op.answer = Some(answer.clone());
                    op.ended = at;
                    op.ended_us = line.at_us;
                }
            }
        }
    }
    ops
}
