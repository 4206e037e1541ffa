//! The command line of MUSIC.

mod active_passive;
mod arguments;
mod barrier;
mod bench;
mod captured;
mod child;
mod completions;
mod count;
mod counter;
mod delete;
mod demo;
mod dev;
mod dev_control;
mod doctor;
mod duration;
mod elect;
mod engine;
mod environment;
mod exit;
mod failure;
mod get;
mod group;
mod held;
mod latch;
mod lock;
mod lock_child;
mod lock_queue;
mod observe;
mod once;
mod output;
mod put;
mod queue;
mod record_arguments;
mod register;
mod scan;
mod semaphore;
mod serve;
mod signals;
mod sql;
mod status;
mod table;
mod value_argument;
mod watch;

use std::process::ExitCode;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::read().unwrap_or_else(|error| error.exit());
    let output = Output::new(arguments.global.json);
    let result = match tokio::runtime::Runtime::new() {
        // The main thread runs this to its end: a command that music runs is
        // killed with the thread that started it, and no other lives as long.
        Ok(runtime) => runtime.block_on(run(arguments, &output)),
        Err(error) => Err(Failure::Runtime(error)),
    };
    let exit = result.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    exit.into()
}

async fn run(arguments: Arguments, output: &Output) -> Result<Exit, Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Dev(dev) => dev::run(dev, output).await,
        Command::Engine(engine) => engine::run(&engine, output).await,
        Command::Doctor(doctor) => doctor::run(&doctor, output).await,
        Command::Serve(serve) => serve::run(serve, output).await,
        Command::Sql(sql) => Box::pin(sql::run(sql, output)).await,
        Command::Put(put) => put::run(&global, put, output).await,
        Command::Get(get) => get::run(&global, get, output).await,
        Command::Delete(delete) => delete::run(&global, delete, output).await,
        Command::Scan(scan) => scan::run(&global, scan, output).await,
        Command::Table(table) => table::run(&global, table, output).await,
        Command::Lock(lock) => lock::run(&global, lock, output).await,
        Command::LockQueue(queue) => lock_queue::run(&global, queue, output).await,
        Command::Elect(elect) => elect::run(&global, elect, output).await,
        Command::Semaphore(semaphore) => semaphore::run(&global, semaphore, output).await,
        Command::Once(once) => once::run(&global, once, output).await,
        Command::Barrier(barrier) => barrier::run(&global, barrier, output).await,
        Command::Latch(latch) => latch::run(&global, latch, output).await,
        Command::Queue(queue) => queue::run(&global, queue, output).await,
        Command::Counter(counter) => counter::run(&global, counter, output).await,
        Command::Register(register) => register::run(&global, register, output).await,
        Command::Group(group) => group::run(&global, group, output).await,
        Command::ActivePassive(daemon) => active_passive::run(&global, &daemon, output).await,
        Command::Status(status) => status::run(&global, status, output).await,
        Command::Watch(watch) => watch::run(&global, watch, output).await,
        Command::Bench(bench) => bench::run(&global, bench, output).await,
        Command::Demo(demo) => demo::run(demo, output).await,
        Command::Completions(completions) => completions::run(&completions, output),
        Command::ExitCodes => exit::explain(output),
        Command::LockChild(child) => lock_child::run(child).await,
    }
}
