//! The recipes: what they promise, whatever happens to who uses them.

mod barriers;
mod changes;
mod costs;
mod counters;
mod elections;
mod groups;
mod holders;
mod killing;
mod locks;
mod once;
mod queues;
mod replicas;
mod semaphores;
