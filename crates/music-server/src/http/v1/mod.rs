//! The routes of `/v1`, a file a resource.

pub(crate) mod batch;
pub(crate) mod hints;
pub(crate) mod locks;
pub(crate) mod queues;
pub(crate) mod recipes;
pub(crate) mod records;
pub(crate) mod relay;
pub(crate) mod run;
pub(crate) mod section_records;
pub(crate) mod status;
pub(crate) mod tables;
pub(crate) mod value;
pub(crate) mod watch;
