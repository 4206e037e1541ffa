//! A load: many connections to one node that get or put at random keys.
//!
//! Closed loop: each connection sends its next request when the last one is
//! answered, so a slow server is asked less, and a latency says nothing of
//! how long requests would have queued. Open loop, with a rate: requests are
//! due at fixed times, and a latency counts from when the request was due
//! where its connection was still busy with the one before.
//!
//! One thread makes all the load, so that it takes no more than one core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::clock::{self, Instant};
use super::draw::Draw;
use super::error::Error;
use super::http1::Connection;
use super::processor::Process;

/// A request later than this has waited for its connection, not for a timer.
const TIMER_LATE_MAX: Duration = Duration::from_millis(2);
/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Read a value at the local replica.
    Get,
    /// Write a value at the local replica.
    Put,
}

/// A load.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// The node.
    pub(super) address: SocketAddr,
    /// The table, eventual.
    pub(super) table: String,
    /// How many connections there are, each with one request at a time.
    pub(super) connections: u32,
    /// How many keys there are.
    pub(super) keys: u32,
    /// How large a value is.
    pub(super) value_bytes: usize,
    /// How long the load goes on before anything is counted.
    pub(super) warm_up: Duration,
    /// How long it is counted.
    pub(super) counted: Duration,
    /// Requests a second of all connections together; `None`: closed loop.
    pub(super) rate: Option<f64>,
}

/// What a load has shown.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Latencies in nanoseconds of all requests sent and answered in the time
    /// that was counted.
    pub(super) latencies: Histogram<u64>,
    /// What the server used of the processors in that time.
    pub(super) server_used: Duration,
    /// What this process used.
    pub(super) own_used: Duration,
}

/// When requests count, and when they end.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    begin: Instant,
    end: Instant,
}

impl Operation {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
        }
    }
}

impl Load {
    /// Writes every key once.
    ///
    /// # Errors
    /// Where a connection fails or a put is refused.
    pub(super) async fn fill(&self) -> Result<(), Error> {
        let load = Arc::new(self.clone());
        let (step, keys) = (self.connections.max(1), self.keys);
        let callers = (0..step).map(|index| {
            let load = Arc::clone(&load);
            async move {
                let mut caller = Caller::open(load, Operation::Put, index).await?;
                let mut key = index;
                while key < keys {
                    caller.call(key).await?;
                    key += step;
                }
                Ok(())
            }
        });
        all(callers).await.map(drop)
    }

    /// Loads the node and counts.
    ///
    /// # Errors
    /// Where a connection fails or a request is refused.
    pub(super) async fn run(
        self,
        operation: Operation,
        server: Process,
    ) -> Result<Measured, Error> {
        let thread = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime
                .enable_all()
                .build()?
                .block_on(self.drive(operation, server))
        };
        tokio::task::spawn_blocking(thread).await?
    }

    async fn drive(self, operation: Operation, server: Process) -> Result<Measured, Error> {
        let address = self.address;
        let start = clock::now();
        let begin = start + self.warm_up;
        let end = begin + self.counted;
        let window = Window { start, begin, end };
        let load = Arc::new(self);
        let callers = (0..load.connections).map(|index| {
            let load = Arc::clone(&load);
            async move {
                let caller = Caller::open(load, operation, index).await?;
                caller.run(index, window).await
            }
        });
        let processors = async {
            clock::until(window.begin).await;
            let before = (server.used()?, Process::own().used()?);
            clock::until(window.end).await;
            let after = (server.used()?, Process::own().used()?);
            Ok::<_, Error>((
                after.0.saturating_sub(before.0),
                after.1.saturating_sub(before.1),
            ))
        };
        let (histograms, used) = tokio::try_join!(all(callers), processors)?;
        let mut latencies = histogram()?;
        for part in histograms {
            latencies.add(part).map_err(|_bounds| Error::Histogram)?;
        }
        if latencies.is_empty() {
            return Err(Error::NothingCounted(address));
        }
        Ok(Measured {
            latencies,
            server_used: used.0,
            own_used: used.1,
        })
    }
}

/// Does all at once; the first error ends them.
async fn all<T: Send + 'static>(
    tasks: impl Iterator<Item = impl Future<Output = Result<T, Error>> + Send + 'static>,
) -> Result<Vec<T>, Error> {
    let mut tasks: JoinSet<_> = tasks.collect();
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        results.push(result??);
    }
    Ok(results)
}

/// One connection and what it sends.
#[derive(Debug)]
struct Caller {
    load: Arc<Load>,
    operation: Operation,
    connection: Connection,
    draw: Draw,
    request: Vec<u8>,
}

impl Caller {
    async fn open(load: Arc<Load>, operation: Operation, index: u32) -> Result<Self, Error> {
        let connection = Connection::open(load.address).await?;
        Ok(Self {
            load,
            operation,
            connection,
            draw: Draw::new(u64::from(index) + 1),
            request: Vec::with_capacity(1024),
        })
    }

    async fn run(mut self, index: u32, window: Window) -> Result<Histogram<u64>, Error> {
        let mut latencies = histogram()?;
        let mut due = Due::new(self.load.rate, self.load.connections, index, window.start);
        loop {
            let sent = due.next().await;
            if sent >= window.end {
                return Ok(latencies);
            }
            let key = self.draw.below(self.load.keys);
            self.call(key).await?;
            let answered = clock::now();
            if sent >= window.begin && answered <= window.end {
                let latency = (answered - sent).as_nanos();
                latencies.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
            }
        }
    }

    /// One request.
    async fn call(&mut self, key: u32) -> Result<(), Error> {
        self.write_request(key);
        let answer = self.connection.exchange(&self.request).await?;
        let operation = self.operation.name();
        let refused = Error::Refused {
            operation,
            status: answer.status,
        };
        match self.operation {
            _ if !(200..300).contains(&answer.status) => Err(refused),
            Operation::Get if answer.body_bytes != self.load.value_bytes => {
                Err(Error::Answer("has not the value that was put"))
            }
            _ => Ok(()),
        }
    }

    fn write_request(&mut self, key: u32) {
        let Load {
            address,
            table,
            value_bytes,
            ..
        } = &*self.load;
        let method = match self.operation {
            Operation::Get => "GET",
            Operation::Put => "PUT",
        };
        let head = format!(
            "{method} /v1/tables/{table}/keys/key-{key:08} HTTP/1.1\r\nhost: {address}\r\n"
        );
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        if self.operation == Operation::Put {
            let rest = format!(
                "content-type: application/octet-stream\r\ncontent-length: {value_bytes}\r\n"
            );
            self.request.extend_from_slice(rest.as_bytes());
        }
        self.request.extend_from_slice(b"\r\n");
        if self.operation == Operation::Put {
            self.request.append(&mut self.draw.bytes(*value_bytes));
        }
    }
}

/// When the requests of a connection are due.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// The next one, and the time to the one after; `None`: at once.
    next: Option<(Instant, Duration)>,
}

impl Due {
    fn new(rate: Option<f64>, connections: u32, index: u32, start: Instant) -> Self {
        let next = rate.map(|rate| {
            let step = Duration::from_secs_f64(f64::from(connections) / rate);
            (start + step * index / connections.max(1), step)
        });
        Self { next }
    }

    /// Waits until the next request is due; from when its latency counts.
    async fn next(&mut self) -> Instant {
        let Some((due, step)) = &mut self.next else {
            return clock::now();
        };
        let this = *due;
        *due += *step;
        if clock::now() >= this {
            return this;
        }
        clock::until(this).await;
        clock::now().min(this + TIMER_LATE_MAX)
    }
}

fn histogram() -> Result<Histogram<u64>, Error> {
    let longest = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, longest, 3).map_err(|_bounds| Error::Histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_waited_for_its_connection_counts_from_when_it_was_due() {
        let start = clock::now();
        let past = start.checked_sub(Duration::from_secs(1)).unwrap();
        let mut due = Due::new(Some(100.0), 1, 0, past);
        assert_eq!(due.next().await, past);
        assert_eq!(due.next().await, past + Duration::from_millis(10));
    }

    #[tokio::test]
    async fn connections_take_turns() {
        let start = clock::now();
        let starts: Vec<_> = (0..4)
            .map(|index| Due::new(Some(4.0), 4, index, start).next)
            .map(|next| next.unwrap().0 - start)
            .collect();
        assert_eq!(starts, [0, 250, 500, 750].map(Duration::from_millis));
    }
}
