//! Statements that are canceled, or take too long.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::sqlite::lane::Lane;
use crate::error::{Result, SqlError, state};

/// How long until an interrupted statement is interrupted again: an interrupt
/// that comes before the statement begins is lost.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// Cancels what a session runs.
#[derive(Debug)]
pub(crate) struct Cancel {
    session: u64,
    is_running: AtomicBool,
    asked: Notify,
}

impl Cancel {
    pub(crate) fn new(session: u64) -> Self {
        Self {
            session,
            is_running: AtomicBool::new(false),
            asked: Notify::new(),
        }
    }

    /// Asks for the cancellation of what runs; of nothing if nothing does.
    pub(crate) fn ask(&self) {
        if self.is_running.load(Ordering::SeqCst) {
            self.asked.notify_one();
        }
    }

    /// Waits until it is asked for.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Waits for something that may be dropped at any time.
    pub(crate) async fn wait<T>(
        &self,
        waiting: impl Future<Output = Result<T>>,
        limit: Option<(Duration, SqlError)>,
    ) -> Result<T> {
        let running = self.running();
        let result = if let Some((limit, error)) = limit {
            tokio::select! {
                result = timeout(limit, waiting) => result.unwrap_or(Err(error)),
                () = self.asked.notified() => Err(canceled("user request")),
            }
        } else {
            tokio::select! {
                result = waiting => result,
                () = self.asked.notified() => Err(canceled("user request")),
            }
        };
        drop(running);
        result
    }

    /// Waits for a job on a connection, which is interrupted when it is
    /// canceled or its time is up.
    pub(crate) async fn supervise<T>(
        &self,
        lane: &Lane,
        call: impl Future<Output = Result<T>>,
        limit: Option<Duration>,
    ) -> Result<T> {
        let running = self.running();
        let mut call = pin!(call);
        let reason = tokio::select! {
            result = timeout(limit.unwrap_or(Duration::MAX), &mut call) => match result {
                Ok(result) => return result,
                Err(_) => "statement timeout",
            },
            () = self.asked.notified() => "user request",
        };
        loop {
            lane.interrupt(self.session);
            if let Ok(result) = timeout(INTERRUPT_AGAIN, &mut call).await {
                drop(running);
                return result.map_err(|error| {
                    if error.state == state::QUERY_CANCELED {
                        canceled(reason)
                    } else {
                        error
                    }
                });
            }
        }
    }

    /// Something runs that can be canceled, as long as this is.
    pub(crate) fn running(&self) -> Running<'_> {
        self.is_running.store(true, Ordering::SeqCst);
        Running(self)
    }
}

/// Something runs as long as this is.
pub(crate) struct Running<'a>(&'a Cancel);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::SeqCst);
    }
}

fn canceled(reason: &str) -> SqlError {
    SqlError::new(
        state::QUERY_CANCELED,
        format!("canceling statement due to {reason}"),
    )
}
