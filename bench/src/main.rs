//! Distlock's benchmarks: ours, the floor and the peers in one run, in turns.

mod contest;
mod figures;
mod holds;
mod measure;
mod peers;
mod process;
mod report;
mod results;
mod stores;
mod worker;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum as _};

use contest::Kind;
use results::Results;
use stores::Backend;

#[derive(Parser)]
#[command(
    about = "Distlock's benchmarks: ours, the floor and the peers in one run, in turns; ratios to the floor first"
)]
enum Bench {
    /// Measure, and write docs/benchmarks.md, its plots, and the raw figures
    Run(Options),
    /// Write docs/benchmarks.md and its plots again, from the raw figures that are there
    Report {
        /// Where benchmarks.md and benchmarks/ are
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
    },
    /// One of the processes that a measurement starts
    #[command(hide = true)]
    Worker(worker::Options),
}

#[derive(clap::Args)]
struct Options {
    /// Which store; may be given several times [default: all]
    #[arg(long)]
    backend: Vec<Backend>,
    /// Which measurement; may be given several times [default: all]
    #[arg(long)]
    only: Vec<Kind>,
    /// Which contestant, by its name; may be given several times [default: all]
    #[arg(long)]
    contestant: Vec<String>,
    /// A trial of about a minute for each store: shows that everything runs, measures nothing
    #[arg(long)]
    quick: bool,
    /// Compare with locks for Python, too, installed into a virtual environment
    #[arg(long)]
    python: bool,
    /// Where benchmarks.md and benchmarks/ are. A run of a part prints its tables and writes nothing, unless this is
    /// given
    #[arg(long)]
    docs: Option<PathBuf>,
}

fn main() -> Result<()> {
    match Bench::parse() {
        Bench::Run(options) => run(&options),
        Bench::Report { docs } => report::write(&docs),
        Bench::Worker(options) => worker::run(options),
    }
}

fn run(options: &Options) -> Result<()> {
    if options.python {
        peers::install()?;
    }
    let backends = if options.backend.is_empty() { Backend::value_variants() } else { &options.backend };
    let in_part = options.quick || !options.only.is_empty() || !options.contestant.is_empty();
    let docs = options.docs.clone().or_else(|| (!in_part).then(|| PathBuf::from("docs")));
    let (began, mut faults) = (Instant::now(), Vec::new());
    for backend in backends {
        let plan = measure::Plan {
            backend: *backend,
            quick: options.quick,
            python: options.python,
            kinds: &options.only,
            contestants: &options.contestant,
        };
        let results: Results = measure::run(&plan)?;
        println!("{}: {}", backend.name(), minutes(results.seconds));
        faults.extend(results.faults_of_ours());
        if let Some(docs) = &docs {
            std::fs::create_dir_all(docs.join("benchmarks"))?;
            results.save(&docs.join("benchmarks").join(format!("{}.json", backend.name())))?;
            report::write(docs)?;
        }
    }
    println!("all: {}", minutes(began.elapsed().as_secs_f64()));
    // After all was written: what is wrong can be looked at then.
    ensure!(faults.is_empty(), "distlock itself failed:\n  {}", faults.join("\n  "));
    Ok(())
}

fn minutes(seconds: f64) -> String {
    format!("{:.1} minutes", seconds / 60.0)
}
