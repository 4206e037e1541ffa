//! The stable codes of problems, one table for server, clients and pages.

use std::fmt;

use crate::problem::Outcome;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $title:literal,
        $outcome:ident, $retryable:literal;)*) => {
        /// A kind of problem. Each has a page, `docs/errors/MUSIC-nnnn.md`,
        /// which a node serves as `/errors/MUSIC-nnnn`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in `MUSIC-nnnn`; never given to another kind.
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            /// The HTTP status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What kind of problem it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Whether the effect may have happened, where the problem itself
            /// does not say otherwise.
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$name => Outcome::$outcome,)* }
            }

            /// Whether the same request may succeed later.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }
        }
    };
}

codes! {
    /// Some part of the request is malformed.
    BadRequest = 1000, 400, "bad request", NotApplied, false;
    /// The body is no JSON, or not of the shape that the route takes.
    MalformedBody = 1001, 400, "malformed body", NotApplied, false;
    /// The query has an unknown, repeated or malformed parameter.
    BadQuery = 1002, 400, "bad query", NotApplied, false;
    /// There is no such route.
    NoSuchRoute = 1003, 404, "no such route", NotApplied, false;
    /// The route does not take this method.
    MethodNotAllowed = 1004, 405, "method not allowed", NotApplied, false;
    /// The body is larger than the route takes.
    BodyTooLarge = 1005, 413, "body too large", NotApplied, false;
    /// The body's type or encoding is not one that the route takes.
    UnsupportedMediaType = 1006, 415, "unsupported media type", NotApplied, false;
    /// The key is empty, too long or wrongly escaped.
    BadKey = 1007, 400, "bad key", NotApplied, false;
    /// The table's name has a form that is not allowed.
    BadTableName = 1008, 400, "bad table name", NotApplied, false;
    /// The field's name is too long or no UTF-8, or the fields are too many.
    BadField = 1009, 400, "bad field", NotApplied, false;
    /// A value is larger than the service keeps.
    ValueTooLarge = 1010, 413, "value too large", NotApplied, false;
    /// The idempotency key is empty or too long.
    BadIdempotencyKey = 1011, 400, "bad idempotency key", NotApplied, false;
    /// Another request was made with this idempotency key.
    IdempotencyKeyReused = 1012, 422, "idempotency key reused", NotApplied, false;
    /// The cursor is not one that this list gave out.
    BadCursor = 1013, 400, "bad cursor", NotApplied, false;
    /// A number is outside its bounds: limit, wait, lease, delay.
    OutOfRange = 1014, 400, "number out of range", NotApplied, false;
    /// The lockRef is not a string that a node gave out.
    MalformedLockRef = 1015, 400, "malformed lockRef", NotApplied, false;
    /// The key set is empty, too large, or names a key twice.
    BadKeySet = 1016, 400, "bad key set", NotApplied, false;
    /// A value of a JSON body, or its content type, is malformed.
    BadValue = 1017, 400, "bad value", NotApplied, false;
    /// A conditional header that this route does not honour.
    ConditionUnsupported = 1018, 400, "conditional request not supported", NotApplied, false;
    /// The body did not arrive in time.
    BodyTooSlow = 1019, 408, "body too slow", NotApplied, true;
    /// A browser sent the request from a page of another site.
    CrossSite = 1020, 403, "request from another site's page", NotApplied, false;
    /// A batch or run has more steps than the node performs.
    TooManySteps = 1021, 400, "too many steps", NotApplied, false;

    /// There is no table of that name.
    NoSuchTable = 2001, 404, "no such table", NotApplied, false;
    /// The table's mode does not allow this operation.
    WrongMode = 2002, 409, "wrong table mode", NotApplied, false;
    /// A table of that name exists, in the other mode.
    TableExists = 2003, 409, "table exists in another mode", NotApplied, false;
    /// The key, or the field, has no value.
    NoValue = 2004, 404, "no value", NotApplied, false;

    /// The lockRef waits for its turn.
    NotGranted = 3001, 409, "lock not granted", NotApplied, true;
    /// The section does not hold its lock any more.
    Lost = 3002, 409, "lock lost", NotApplied, false;
    /// The section was released.
    Released = 3003, 409, "section released", NotApplied, false;
    /// A shared lockRef does not write.
    SharedIsReadOnly = 3004, 409, "shared lockRefs only read", NotApplied, false;
    /// The key is not one of those that the lockRef covers.
    KeyNotInSet = 3005, 409, "key not in the lockRef's set", NotApplied, false;
    /// As many puts of the section are under way as may be.
    TooManyPuts = 3006, 429, "too many puts under way", NotApplied, true;
    /// The section is numbering its puts anew.
    Renumbering = 3007, 503, "section is renumbering", NotApplied, true;
    /// The section has used up its stamps.
    Exhausted = 3008, 409, "section exhausted", NotApplied, false;
    /// This node does not keep the section.
    NotHere = 3009, 409, "section kept elsewhere", NotApplied, false;
    /// The lockRef is in no queue.
    NoSuchSection = 3010, 404, "no such section", NotApplied, false;
    /// There is no such ticket in the queue.
    NoSuchTicket = 3011, 404, "no such ticket", NotApplied, false;
    /// The node keeps as many sections as it may.
    TooManySections = 3012, 503, "too many sections", NotApplied, true;

    /// Too few replicas can be reached from this site.
    Unavailable = 4001, 503, "unavailable", NotApplied, true;
    /// Whether the effect happened, or will, cannot be known here.
    OutcomeUnknown = 4002, 504, "outcome unknown", Unknown, true;
    /// Too many others changed the same key at once.
    Contended = 4003, 503, "contended", NotApplied, true;
    /// The node or its engine has as much work as it takes.
    Overloaded = 4004, 503, "overloaded", NotApplied, true;
    /// The engine's disk or files failed.
    StorageFailed = 4005, 500, "storage failed", Unknown, false;
    /// The engine's disk is full.
    StorageFull = 4006, 507, "storage full", Unknown, true;
    /// The node cannot reach a majority to keep its lease.
    NodeLeaseExpired = 4007, 503, "node lease expired", NotApplied, true;
    /// The node is shutting down.
    ShuttingDown = 4008, 503, "shutting down", NotApplied, true;
    /// The lock store is older than the state.
    LockStoreBehind = 4009, 500, "lock store behind the state", NotApplied, false;
    /// The node cannot serve critical sections now.
    NotReady = 4010, 503, "not ready", NotApplied, true;
    /// A fault of the program.
    Internal = 4011, 500, "internal error", Unknown, false;

    /// The development deployment has no such node, site or link.
    NoSuchTarget = 5001, 404, "no such node, site or link", NotApplied, false;
    /// The node or site is not in a state that allows this control.
    WrongState = 5002, 409, "control does not apply", NotApplied, false;

    /// The name of a recipe, or in one, is empty, too long or no UTF-8.
    BadRecipeName = 6001, 400, "bad name of a recipe", NotApplied, false;
    /// Others use the name with another number of parties, permits or counts.
    Disagreement = 6002, 409, "name in use with another number", NotApplied, false;
    /// The lockRef is for another key, or holds nothing of this recipe.
    ForeignLockRef = 6003, 409, "lockRef of something else", NotApplied, false;
    /// The record holds something that this recipe did not write.
    ForeignState = 6004, 409, "no state of this recipe", NotApplied, false;
    /// The counter would leave its range.
    CounterOverflow = 6005, 409, "counter out of range", NotApplied, false;
    /// The step was begun, and nobody said whether it was done.
    StepInterrupted = 6006, 409, "step interrupted", NotApplied, false;
    /// The queue has no room for another item.
    QueueFull = 6007, 429, "queue full", NotApplied, true;
    /// The item was handed to somebody else meanwhile, or was done already.
    ClaimLost = 6008, 409, "claim lost", NotApplied, false;
}

impl Code {
    /// The code of that number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
    }

    /// Reads `MUSIC-nnnn`; `None` for a code of a newer version.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("MUSIC-")?;
        (digits.len() == 4).then(|| digits.parse().ok().and_then(Self::from_number))?
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MUSIC-{:04}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_read_back_and_numbers_go_up() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        for code in Code::ALL {
            assert_eq!(Code::parse(&code.to_string()), Some(*code));
        }
        assert_eq!(Code::parse("MUSIC-0001"), None);
        assert_eq!(Code::parse("MUSIC-+100"), None);
    }
}
