//! A connection to the local database, on a thread of its own.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::{Connection, InterruptHandle};
use tokio::sync::oneshot;

use super::context::Context;
use crate::error::{Result, SqlError, state};

/// Jobs that wait for one connection: its user waits for each.
const JOBS_MAX: usize = 64;
/// Bytes of the thread's stack: statements are walked as deep as they are
/// nested, within bounds. Memory that is not used is not taken.
const STACK_BYTES: usize = 64 << 20;

/// What a job works with.
pub(crate) struct Held {
    pub(crate) connection: Connection,
    pub(crate) context: Context,
    /// Savepoints that are open: their names, and how many changes there were.
    pub(crate) savepoints: Vec<(String, usize)>,
    /// The transaction that runs on the writing connection.
    pub(crate) top: Option<u64>,
}

type Job = Box<dyn FnOnce(&mut Held) + Send>;

/// The thread of a connection.
#[derive(Clone)]
pub(crate) struct Lane {
    jobs: SyncSender<Job>,
    interrupt: Arc<InterruptHandle>,
    /// The session whose job runs.
    running: Arc<Mutex<Option<u64>>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

fn gone() -> SqlError {
    SqlError::new(state::ADMIN_SHUTDOWN, "the local database is closed")
}

impl Lane {
    /// Starts the thread of a connection.
    pub(crate) fn start(connection: Connection, context: Context) -> std::io::Result<Self> {
        let interrupt = Arc::new(connection.get_interrupt_handle());
        let (jobs, waiting) = sync_channel::<Job>(JOBS_MAX);
        let mut held = Held {
            connection,
            context,
            savepoints: Vec::new(),
            top: None,
        };
        thread::Builder::new()
            .name("mdbc-sqlite".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                for job in waiting {
                    job(&mut held);
                }
            })?;
        let running = Arc::default();
        Ok(Self {
            jobs,
            interrupt,
            running,
        })
    }

    /// Runs a job on the connection, for a session.
    ///
    /// A dropped future leaves the job to run to its end.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        session: u64,
        job: impl FnOnce(&mut Held) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let running = Arc::clone(&self.running);
        let boxed: Job = Box::new(move |held| {
            *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
            let result = job(held);
            *running.lock().unwrap_or_else(PoisonError::into_inner) = None;
            // Nobody waits for it any more: nothing to be told.
            drop(answer.send(result));
        });
        self.jobs.try_send(boxed).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Leaves a job to run, after those before it; whether it will.
    pub(crate) fn post(&self, job: impl FnOnce(&mut Held) + Send + 'static) -> bool {
        let is_posted = self.jobs.try_send(Box::new(job)).is_ok();
        if !is_posted {
            tracing::error!("a job of the local database could not be left to run");
        }
        is_posted
    }

    /// Interrupts the statement that runs, if it is the session's.
    pub(crate) fn interrupt(&self, session: u64) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running == Some(session) {
            self.interrupt.interrupt();
        }
    }
}
