//! `cargo xtask mutants`: takes each guard out of the code, and sees that some test notices.
//!
//! The list is in `xtask/mutants/*.toml`. Each change is made in a copy of the tree that has a
//! target directory of its own; the tree that you work in is never touched.

mod list;
mod scratch;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::root;
use crate::servers::{Server, Servers};
use list::Mutant;
use scratch::Scratch;
use verdict::Verdict;

/// A command hangs that takes three times as long as it does without the mutant, and longer than this.
const SHORTEST_HANG: Duration = Duration::from_secs(60);

/// Which mutants are tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only mutants whose names contain one of these.
    names: Vec<String>,
    /// Only show the list, after checking that each change has its place.
    #[arg(long)]
    list: bool,
}

/// Tries the mutants, prints the table, and fails if one survives.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut mutants = list::read(&root().join("xtask/mutants"))?;
    mutants.retain(|mutant| options.names.is_empty() || options.names.iter().any(|name| mutant.name.contains(name)));
    // All of them first: a change that has lost its place is told in a second, not after an hour.
    let lost: Vec<_> = mutants.iter().filter_map(|mutant| mutant.find_in(root()).err()).collect();
    for error in &lost {
        println!("{error:#}");
    }
    if !lost.is_empty() {
        bail!("{} of {} mutants don't fit the code", lost.len(), mutants.len());
    }
    if options.list {
        for mutant in &mutants {
            println!("{:<44} {}", mutant.name, mutant.caught_by);
        }
        return Ok(());
    }
    let scratch = Scratch::create(root(), Servers::provide(&wanted(&mutants))?)?;
    let took = see_that_nothing_fails_by_itself(&scratch, &mutants)?;
    let (mut survivors, mut hangs) = (Vec::new(), Vec::new());
    println!("{:<44} {:>7}  caught by", "mutant", "time");
    for mutant in &mutants {
        let began = Instant::now();
        let limit = SHORTEST_HANG.max(3 * took[&*mutant.caught_by]);
        let verdict = attempt(&scratch, mutant, limit).with_context(|| format!("the mutant {}", mutant.name))?;
        let seconds = began.elapsed().as_secs_f32();
        match verdict {
            Verdict::Caught(_) => {}
            Verdict::Hangs => hangs.push(&*mutant.name),
            Verdict::Survived { .. } => survivors.push(&*mutant.name),
        }
        println!("{:<44} {seconds:>5.1} s  {verdict}", mutant.name);
    }
    let caught = mutants.len() - survivors.len() - hangs.len();
    println!(
        "{} mutants: {caught} caught by a test, {} hang, {} not caught",
        mutants.len(),
        hangs.len(),
        survivors.len()
    );
    if !hangs.is_empty() {
        println!("hangs, noticed only as a command that doesn't end: {}", hangs.join(", "));
    }
    ensure!(survivors.is_empty(), "not caught: {}", survivors.join(", "));
    Ok(())
}

/// The servers that the commands need which catch these.
fn wanted(mutants: &[Mutant]) -> Vec<Server> {
    let word_of = |command: &str, server: &Server| {
        let package = server.package();
        command.split_ascii_whitespace().any(|word| word == package || package.strip_prefix("lock-") == Some(word))
    };
    let needs = |server: &Server| mutants.iter().any(|mutant| word_of(&mutant.caught_by, server));
    Server::ALL.into_iter().filter(needs).collect()
}

/// A test that fails anyway, or that isn't there, would "catch" anything, or nothing. Answers how long each command takes.
fn see_that_nothing_fails_by_itself<'a>(
    scratch: &Scratch,
    mutants: &'a [Mutant],
) -> Result<BTreeMap<&'a str, Duration>> {
    let mut took = BTreeMap::new();
    let commands: BTreeMap<&str, &str> = mutants.iter().map(|mutant| (&*mutant.caught_by, &*mutant.name)).collect();
    for (command, name) in commands {
        let (verdict, time) = scratch.run(command, None)?;
        match verdict {
            Verdict::Survived { tests } if tests > 0 => drop(took.insert(command, time)),
            Verdict::Survived { .. } => bail!("`{command}`, named by {name}, runs no test"),
            verdict => bail!("`{command}`, named by {name}, fails without any mutant: {verdict}"),
        }
    }
    Ok(took)
}

fn attempt(scratch: &Scratch, mutant: &Mutant, limit: Duration) -> Result<Verdict> {
    let _applied = scratch.apply(mutant)?;
    Ok(scratch.run(&mutant.caught_by, Some(limit))?.0)
}
