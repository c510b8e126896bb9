//! Distlock's benchmarks. Each compares ours with its floor in one run, in turns, and prints ratios.

mod command;
mod consul;
mod etcd;
mod figures;
mod handoff;
mod heartbeats;
mod redis;
mod takeover;
mod uncontended;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Distlock's benchmarks: ours and the floor in one run, in turns; medians, and ratios to the floor")]
enum Bench {
    /// Acquire + release of a free lock, against creating, writing and removing a file
    Uncontended(uncontended::Options),
    /// 100,000 locks held and renewed by one supervisor: memory and CPU
    Heartbeats(heartbeats::Options),
    /// From a holder's death to the grant of a waiter in another process
    Takeover(takeover::Options),
    /// From a release to the grant of a waiter in another process, and who gets the lock next
    Handoff(handoff::Options),
    /// `distlock run KEY -- true` against `true`
    Command(command::Options),
    /// Locks on a real redis-server, started for this
    #[command(subcommand)]
    Redis(redis::Bench),
    /// The Consul backend; needs the program `consul`
    #[command(subcommand)]
    Consul(consul::Bench),
    /// The etcd backend, against a real etcd
    #[command(subcommand)]
    Etcd(etcd::Bench),
    /// One of the processes that the benchmarks start
    #[command(hide = true, subcommand)]
    Worker(Worker),
}

#[derive(clap::Subcommand)]
enum Worker {
    Hold(takeover::Hold),
    Wait(takeover::Wait),
    Contend(handoff::Contend),
}

fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Uncontended(options) => uncontended::run(&options),
        Bench::Heartbeats(options) => heartbeats::run(&options),
        Bench::Takeover(options) => takeover::run(&options),
        Bench::Handoff(options) => handoff::run(&options),
        Bench::Command(options) => command::run(&options),
        Bench::Redis(bench) => redis::run(&bench),
        Bench::Consul(bench) => consul::run(&bench),
        Bench::Etcd(bench) => etcd::run(&bench),
        Bench::Worker(Worker::Hold(options)) => takeover::hold(&options),
        Bench::Worker(Worker::Wait(options)) => takeover::wait(&options),
        Bench::Worker(Worker::Contend(options)) => handoff::contend(&options),
    }
}
