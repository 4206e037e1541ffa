//! What a failed attempt means for a section.

use music_api::code::Code;

use crate::error::{AnswerFault, Error, FaultKind};

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It would fail again.
    Stop,
    /// The section does not hold its lock any more.
    Lost,
    /// The node does not keep the section, or not as granted: acquire again.
    Forgotten,
    /// The node is busy: ask it again, no other would do better.
    Busy,
    /// The node may do better at once.
    Retry,
    /// The node does not serve: another one may.
    Turn,
}

/// What to do after this failure.
pub(crate) fn judge(error: &Error) -> Verdict {
    match error {
        Error::Problem(problem) => match problem.known {
            Some(code) => judge_code(code, problem.retryable),
            None if problem.retryable => Verdict::Retry,
            None => Verdict::Stop,
        },
        // After a time-out there is no time to ask the same node again.
        Error::Transport { source, .. } if source.kind == FaultKind::TimedOut => Verdict::Turn,
        Error::Transport { .. } => Verdict::Retry,
        Error::Answer {
            reason: AnswerFault::Status(status),
            ..
        } if *status >= 500 => Verdict::Retry,
        Error::Lost(_) => Verdict::Lost,
        _ => Verdict::Stop,
    }
}

fn judge_code(code: Code, retryable: bool) -> Verdict {
    match code {
        Code::Lost | Code::Released | Code::NoSuchSection => Verdict::Lost,
        Code::NotHere | Code::NotGranted => Verdict::Forgotten,
        Code::NodeLeaseExpired | Code::ShuttingDown | Code::NotReady => Verdict::Turn,
        Code::TooManyPuts | Code::Renumbering | Code::Contended | Code::Overloaded => Verdict::Busy,
        _ if retryable => Verdict::Retry,
        _ => Verdict::Stop,
    }
}

#[cfg(test)]
mod tests {
    use music_api::problem::Outcome;

    use super::*;
    use crate::error::Problem;

    fn problem(code: Code) -> Error {
        Error::Problem(Box::new(Problem {
            known: Some(code),
            code: code.to_string(),
            status: code.status(),
            detail: String::new(),
            outcome: Outcome::NotApplied,
            retryable: code.is_retryable(),
            request_id: None,
        }))
    }

    #[test]
    fn what_is_no_use_to_repeat_is_not_repeated() {
        for code in [
            Code::WrongMode,
            Code::KeyNotInSet,
            Code::BadValue,
            Code::SharedIsReadOnly,
        ] {
            assert_eq!(judge(&problem(code)), Verdict::Stop, "{code:?}");
        }
    }

    #[test]
    fn each_retryable_code_is_repeated_somehow() {
        for code in Code::ALL.iter().copied().filter(|code| code.is_retryable()) {
            assert_ne!(judge(&problem(code)), Verdict::Stop, "{code:?}");
        }
    }
}
