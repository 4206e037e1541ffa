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
        of_node: false,
    }
}

/// The section by which a node gets a ticket for those that wait there.
const fn line() -> Plan {
    Plan {
        of_node: true,
        ..exclusive(&[])
    }
}

const fn waiter(ops: &'static [Op]) -> Plan {
    Plan {
        gives_up: true,
        ..exclusive(ops)
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

const fn handed_over(of: usize, ops: &'static [Op]) -> Plan {
    Plan {
        start: Start::HandOver(of),
        ..exclusive(ops)
    }
}

/// A writer that is never heard of again, with a put under way.
const DEAD: Plan = Plan {
    end: End::Never,
    ..exclusive(&[X])
};

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "turns",
        about: "three holders in turn, of whom one may give up while it waits",
        plans: &[exclusive(&[X]), waiter(&[Y]), exclusive(&[Op::Get])],
        faults: NO_FAULTS,
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::AllGranted],
    },
    Scenario {
        name: "suspicion",
        about: "a holder is taken for dead, and goes on with its puts",
        plans: &[exclusive(&[BOTH, X]), exclusive(&[Op::Get])],
        faults: Faults {
            lost: 1,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::Synchronised, Reach::AllGranted],
    },
    Scenario {
        name: "told",
        about: "a holder is taken for dead, and hears of it",
        plans: &[exclusive(&[X, Op::Get]), exclusive(&[Y])],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: true,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::Lost, Reach::AllGranted],
    },
    Scenario {
        name: "deletion",
        about: "a deletion and a put of a holder that is taken for dead",
        plans: &[exclusive(&[DELETE, Y]), exclusive(&[X, Op::Get])],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::Synchronised, Reach::AllGranted],
    },
    Scenario {
        name: "unknown",
        about: "a put and a get without an answer, and the holders after it",
        plans: &[exclusive(&[BOTH, Op::Get, Op::Get]), exclusive(&[Op::Get])],
        faults: Faults {
            lost: 2,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::Synchronised, Reach::AllGranted],
    },
    Scenario {
        name: "retry",
        about: "a put is tried again by its name after another put",
        plans: &[
            exclusive(&[X, Y, Op::Retry, Op::Get]),
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lost: 2,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Retried, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "sync-retry",
        about: "a synchronisation is tried again",
        plans: &[
            Plan {
                end: End::Never,
                ..exclusive(&[BOTH])
            },
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lost: 2,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Synchronised, Reach::AllGranted],
    },
    Scenario {
        name: "give-up",
        about: "a waiter gives up while it synchronises",
        plans: &[
            Plan {
                end: End::Never,
                ..exclusive(&[BOTH])
            },
            waiter(&[X]),
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Synchronised, Reach::Forced],
    },
    Scenario {
        name: "confirm",
        about: "a confirmed release, and a force at the same time",
        plans: &[
            Plan {
                end: End::Confirm,
                ..exclusive(&[X, Y])
            },
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lost: 1,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Confirmed, Reach::Forced],
    },
    Scenario {
        name: "leases",
        about: "a holder is taken for dead after its lease ran out",
        plans: &[exclusive(&[BOTH, X]), exclusive(&[Op::Get])],
        faults: Faults {
            lost: 1,
            suspicions: 1,
            lapses: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "adoption",
        about: "a client moves in the middle of its section",
        plans: &[
            exclusive(&[BOTH]),
            adopter(0, &[Y, Op::Get]),
            exclusive(&[Op::Get]),
        ],
        faults: NO_FAULTS,
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted],
    },
    Scenario {
        name: "adoption-lost",
        about: "a client moves, and calls are not answered",
        plans: &[
            exclusive(&[BOTH]),
            adopter(0, &[Op::Get]),
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lost: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted, Reach::Forced],
    },
    Scenario {
        name: "adopter-leaves",
        about: "an adopter gives up before it is granted",
        plans: &[
            exclusive(&[BOTH]),
            Plan {
                gives_up: true,
                ..adopter(0, &[])
            },
            exclusive(&[Op::Get]),
        ],
        faults: NO_FAULTS,
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted],
    },
    Scenario {
        name: "adopter-forced",
        about: "an adopter is taken for dead",
        plans: &[exclusive(&[BOTH]), adopter(0, &[Y]), exclusive(&[Op::Get])],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted, Reach::Forced, Reach::Synchronised],
    },
    Scenario {
        name: "silence",
        about: "the node that a client has left ends its section",
        plans: &[exclusive(&[X]), adopter(0, &[Y]), exclusive(&[Op::Get])],
        faults: Faults {
            silences: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted, Reach::Forced],
    },
    Scenario {
        name: "moves-twice",
        about: "a client moves on from the node that took it over",
        plans: &[exclusive(&[BOTH]), adopter(0, &[]), adopter(1, &[Op::Get])],
        faults: Faults {
            lost: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted, Reach::AllGranted],
    },
    Scenario {
        name: "late-adoption",
        about: "a client moves on, and the adoption that it left behind lands late",
        plans: &[
            Plan {
                end: End::Never,
                ..exclusive(&[])
            },
            Plan {
                end: End::Never,
                ..adopter(0, &[])
            },
            Plan {
                end: End::Never,
                ..adopter(1, &[X])
            },
        ],
        faults: Faults {
            lost: 1,
            silences: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Adopted, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "shared",
        about: "readers under the flag of a writer that is taken for dead",
        plans: &[DEAD, shared(&[Op::Get, Op::Get]), shared(&[Op::Get])],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Together, Reach::Synchronised, Reach::Forced],
    },
    Scenario {
        name: "shared-forced",
        about: "a reader that synchronises is taken for dead, too",
        plans: &[
            DEAD,
            Plan {
                end: End::Never,
                ..shared(&[])
            },
            shared(&[Op::Get]),
        ],
        faults: Faults {
            suspicions: 2,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::Synchronised, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "renumber",
        about: "the ticks are used up, and the client moves",
        plans: &[
            exclusive(&[X, Y, BOTH]),
            adopter(0, &[Y]),
            exclusive(&[Op::Get]),
        ],
        faults: NO_FAULTS,
        respects_leases: false,
        tells_holders: false,
        ticks_left: Some(1),
        reaches: &[Reach::Renumbered, Reach::Adopted, Reach::AllGranted],
    },
    Scenario {
        name: "hand-over",
        about: "a node keeps a ticket for its next section, and is taken for dead",
        plans: &[
            exclusive(&[BOTH]),
            handed_over(0, &[X]),
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lost: 1,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "hand-over-leases",
        about: "a node that keeps a ticket loses its lease",
        plans: &[
            exclusive(&[X]),
            handed_over(0, &[Y, X]),
            exclusive(&[Op::Get]),
        ],
        faults: Faults {
            lapses: 1,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: true,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "hand-over-late",
        about: "a node keeps a ticket whose client has moved on",
        plans: &[exclusive(&[X]), adopter(0, &[]), handed_over(0, &[Y])],
        faults: Faults {
            lost: 1,
            silences: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Adopted],
    },
    Scenario {
        name: "hand-over-moved",
        about: "a client moves with a kept ticket",
        plans: &[exclusive(&[]), handed_over(0, &[X]), adopter(1, &[Op::Get])],
        faults: Faults {
            lost: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Adopted],
    },
    Scenario {
        name: "hand-over-twice",
        about: "a kept ticket is handed over and over again",
        plans: &[
            exclusive(&[]),
            handed_over(0, &[X]),
            handed_over(1, &[Y]),
            exclusive(&[]),
        ],
        faults: Faults {
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "line",
        about: "sections that wait at one node share a ticket, others wait behind it",
        plans: &[line(), handed_over(0, &[BOTH]), exclusive(&[Op::Get])],
        faults: Faults {
            lost: 1,
            suspicions: 1,
            ..NO_FAULTS
        },
        respects_leases: false,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Forced, Reach::AllGranted],
    },
    Scenario {
        name: "line-moved",
        about: "a client that waited at a node moves with the ticket that it was given",
        plans: &[line(), handed_over(0, &[X]), adopter(1, &[Op::Get])],
        faults: Faults {
            lost: 1,
            ..NO_FAULTS
        },
        respects_leases: true,
        tells_holders: false,
        ticks_left: None,
        reaches: &[Reach::HandedOver, Reach::Adopted],
    },
];
