use crate::conformance::Harness;

use super::*;

struct Deployment(Memory);

impl Harness for Deployment {
    type Store = MemorySite;

    fn sites(&self) -> Vec<MemorySite> {
        (0..3).filter_map(|index| self.0.site(index)).collect()
    }

    async fn settled(&self) {
        self.0.propagate();
    }

    fn set_isolated(&self, site: usize, isolated: bool) -> bool {
        self.0.set_isolated(site, isolated);
        true
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.0.advance(id, lock_ref);
        true
    }
}

mod immediate {
    use super::*;

    crate::conformance_tests!(async { Deployment(Memory::new(3, Propagation::Immediate)) });
}

mod explicit {
    use super::*;

    crate::conformance_tests!(async { Deployment(Memory::new(3, Propagation::Explicit)) });
}
