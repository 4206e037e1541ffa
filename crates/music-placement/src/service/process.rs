//! A worker as a program of its own, which can be killed.
//!
//! A worker that shares a runtime with others cannot die as a process does:
//! what it leaves to the runtime (a release in the background, a renewal)
//! would go on without it. So each has a thread and a runtime of its own here,
//! and when it is killed, nothing of it runs any more: its node hears no more
//! of it and ends its section when the lease is over.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::inventory::Inventory;
use super::worker::Worker;

/// A worker that runs by itself; killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    site: String,
    worker: String,
    stop: CancellationToken,
    died: CancellationToken,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl WorkerProcess {
    /// Starts a worker.
    ///
    /// # Errors
    /// Where the system has no more threads to give.
    pub fn start<I: Inventory>(worker: Worker<I>) -> io::Result<Self> {
        let station = worker.station();
        let (site, name) = (station.site.clone(), station.worker.clone());
        let died = station.probe.died.clone();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stopped, killed, over) = (stop.clone(), died.clone(), ended.clone().drop_guard());
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let work = Box::pin(worker.run(stopped));
                let _killed = runtime.block_on(killed.run_until_cancelled_owned(work));
                // Without waiting for anything that is still under way.
                runtime.shutdown_background();
                drop(over);
            })?;
        Ok(Self {
            site,
            worker: name,
            stop,
            died,
            ended,
            thread: Some(thread),
        })
    }

    /// The worker's name.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The worker's site.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Ends the worker where it is, as SIGKILL would.
    pub fn kill(&self) {
        self.died.cancel();
    }

    /// Whether nothing of it runs any more.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until nothing of it runs any more.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Lets the worker end what it has begun, and waits for that.
    ///
    /// # Cancel safety
    /// Dropping the future kills it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.ended.cancelled().await;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(worker = self.worker, "a worker panicked");
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.died.cancel();
    }
}
