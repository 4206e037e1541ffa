//! The scenarios: each a few sections at one key, and one kind of trouble.

use music_core::lock_queue::Mode::{Exclusive, Shared};

use super::plan::{End, Faults, Op, Plan, Reach, Scenario, Start};

const BOTH: Op = Op::Put([Some(true), Some(true)]);
const X: Op = Op::Put([Some(true), None]);
const Y: Op = Op::Put([None, Some(true)]);
const DELETE: Op = Op::Put([Some(false), Some(false)]);

const NO_FAULTS: Faults = Faults {
    lost: 0,
    suspicions: 0,
    lapses: 0,
    silences: 0,
};

/// An exclusive section that asks for its own ticket and may end by a release.
const fn exclusive(ops: &'static [Op]) -> Plan {
    Plan {
        start: Start::Create,
        mode: Exclusive,
        ops,
        end: End::Release,
        gives_up: false,
    }
}

const fn shared(ops: &'static [Op]) -> Plan {
    Plan {
        mode: Shared,
        ..exclusive(ops)
    }
}

const fn adopter(of: usize, ops: &'static [Op]) -> Plan {
    Plan {
        start: Start::Adopt(of),
        ..exclusive(ops)
    }
}

/// All of them, small ones first.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "suspicion",
        about: "a holder is taken for dead, and goes on with its puts",
        plans: &[exclusive(&[BOTH, X]), exclusive(&[Op::Get])],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::Synchronised, Reach::AllGranted],
    },
];
const _: [Op; 2] = [Y, DELETE];
#[allow(dead_code)]
fn unused() -> (Plan, Plan) { (shared(&[]), adopter(0, &[])) }
