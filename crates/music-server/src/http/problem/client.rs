//! Failures of the node's own client: what a recipe refused, and what its
//! requests were answered.

use music_api::code::Code;
use music_api::problem::Outcome;
use music_client::error::{FaultKind, Invalid, Problem, Refusal};
use music_client::{Error, LostReason};

use super::{Failure, INTERNAL, UNKNOWN, shutting_down};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (outcome, retryable) = (error.outcome(), error.is_retryable());
        match error {
            Error::Problem(problem) => passed_on(*problem, outcome, retryable),
            Error::Refused(refusal) => refusal.into(),
            Error::Invalid(invalid) => self::invalid(&invalid),
            Error::Lost(lost) => {
                let detail = match lost.reason {
                    LostReason::LeaseExpired => {
                        "The lock is lost: this node could not prove life for its lease. Look \
                         what there is, and begin anew."
                    }
                    _ => {
                        "The lock is lost: it was released, ended by force, or not renewed \
                         within its lease. Look what there is, and begin anew."
                    }
                };
                Self::with(Code::Lost, detail.into(), outcome, retryable, None)
            }
            Error::TimedOut { .. } => Self::new(
                Code::NotGranted,
                "Others held the recipe's lock for too long: nothing was done. Try again.",
            ),
            Error::Waiting => Self::new(
                Code::NotGranted,
                "The `lock_ref` waits for its turn still: POST /v1/locks/{lock_ref}/acquire \
                 first.",
            ),
            Error::Unavailable { last, .. } => unavailable(*last, outcome),
            Error::Transport { source, .. } if source.kind == FaultKind::NotConnected => {
                shutting_down()
            }
            error => unanswered(error, outcome),
        }
    }
}

/// What a request within the recipe was answered, as it is.
fn passed_on(problem: Problem, outcome: Outcome, retryable: bool) -> Failure {
    let code = problem.known.unwrap_or(Code::Internal);
    Failure::with(code, problem.detail.into(), outcome, retryable, None)
}

/// The last of several attempts, with what the others may have done.
fn unavailable(last: Error, outcome: Outcome) -> Failure {
    let last = Failure::from(last);
    let inner = &last.0;
    if inner.outcome == outcome {
        return last;
    }
    let (code, detail) = match outcome {
        Outcome::Unknown => (
            inner.code,
            format!(
                "It may or may not have taken effect: read what there is. {}",
                inner.detail
            ),
        ),
        // A ticket of unknown outcome is taken back, and is no effect that the
        // client asked for.
        Outcome::NotApplied if inner.code == Code::OutcomeUnknown => (
            Code::Unavailable,
            "The lock store did not answer in time: nothing was changed. Try again later, or at \
             another site."
                .to_owned(),
        ),
        Outcome::NotApplied => (inner.code, format!("Nothing was changed. {}", inner.detail)),
    };
    Failure::with(code, detail.into(), outcome, inner.retryable, None)
}

/// A request within the recipe that had no answer, or one that makes no sense.
fn unanswered(error: Error, outcome: Outcome) -> Failure {
    let retryable = error.is_retryable();
    let (code, detail) = match (retryable, outcome) {
        (true, Outcome::Unknown) => (Code::OutcomeUnknown, UNKNOWN),
        (true, Outcome::NotApplied) => (
            Code::Unavailable,
            "The node did not answer itself in time: nothing was changed. Try again later, or \
             at another node.",
        ),
        (false, _) => (Code::Internal, INTERNAL),
    };
    let cause = Some(Box::new(error).into());
    Failure::with(code, detail.into(), outcome, retryable, cause)
}

fn invalid(invalid: &Invalid) -> Failure {
    match invalid {
        Invalid::LockRef(_) => Failure::new(
            Code::MalformedLockRef,
            "This is no lockRef: use the string exactly as the recipe returned it.",
        ),
        other => Failure::new(Code::BadValue, format!("Not allowed: {other}.")),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (code, advice) = match &refusal {
            Refusal::Name { .. } => (Code::BadRecipeName, "Use another name."),
            Refusal::OutOfBounds { .. } | Refusal::Duration { .. } => {
                (Code::OutOfRange, "Use a number within the bounds.")
            }
            Refusal::TooLarge { .. } => (
                Code::ValueTooLarge,
                "Keep it elsewhere, and its place here.",
            ),
            Refusal::Disagreement { .. } => (Code::Disagreement, ""),
            Refusal::ForeignLock { .. } => (
                Code::ForeignLockRef,
                "Use the one that this recipe of this name gave out.",
            ),
            Refusal::Foreign(_) => (Code::ForeignState, "Use another name."),
            Refusal::Overflow => (Code::CounterOverflow, "Set it to another number first."),
            Refusal::Interrupted { .. } => (Code::StepInterrupted, ""),
            Refusal::Full => (Code::QueueFull, ""),
            Refusal::ClaimLost => (Code::ClaimLost, ""),
            _ => (Code::BadRequest, ""),
        };
        let detail = format!("{}. {advice}", sentence(&refusal.to_string()));
        Self::new(code, detail.trim_end().to_owned())
    }
}

/// The text with a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(code: Code, outcome: Outcome) -> Error {
        let detail = "as it was said".to_owned();
        let document = Failure::with(code, detail.into(), outcome, true, None).problem(None);
        Error::Problem(Box::new(document.into()))
    }

    #[test]
    fn the_problem_of_a_request_within_passes_as_it_is() {
        let failure = Failure::from(problem(Code::Contended, Outcome::NotApplied));
        let document = failure.problem(None);
        assert_eq!(document.code, Code::Contended.to_string());
        assert_eq!(document.detail, "as it was said");
        assert_eq!(document.outcome, Outcome::NotApplied);
        assert!(document.retryable);
    }

    #[test]
    fn the_last_of_many_attempts_is_told_with_what_the_others_may_have_done() {
        let last = Box::new(problem(Code::Overloaded, Outcome::NotApplied));
        let error = Error::Unavailable {
            attempts: 3,
            outcome: Outcome::Unknown,
            last,
        };
        let failure = Failure::from(error);
        assert_eq!(failure.code(), Code::Overloaded);
        assert_eq!(failure.outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_ticket_of_unknown_outcome_is_no_effect() {
        let error = Error::Unavailable {
            attempts: 3,
            outcome: Outcome::NotApplied,
            last: Box::new(problem(Code::OutcomeUnknown, Outcome::Unknown)),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.code(), Code::Unavailable);
        assert_eq!(failure.outcome(), Outcome::NotApplied);
    }

    #[test]
    fn each_refusal_changed_nothing_and_says_what_to_do() {
        for (refusal, code) in [
            (Refusal::Full, Code::QueueFull),
            (Refusal::Overflow, Code::CounterOverflow),
            (Refusal::ClaimLost, Code::ClaimLost),
            (Refusal::Interrupted { token: 7 }, Code::StepInterrupted),
            (Refusal::Foreign("text".into()), Code::ForeignState),
        ] {
            let retryable = refusal.is_retryable();
            let document = Failure::from(refusal).problem(None);
            assert_eq!(document.code, code.to_string());
            assert_eq!(document.outcome, Outcome::NotApplied);
            assert_eq!(document.retryable, retryable);
            assert!(document.detail.ends_with('.') && document.detail.len() >= 20);
        }
    }
}
