//! `cargo xtask mutants`: takes each guard out of the code, and sees that some test notices.
//!
//! The list is in `xtask/mutants/*.toml`. Each change is made in a copy of the tree that has a
//! target directory of its own; the tree that you work in is never touched.

mod list;
mod scratch;
mod verdict;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::root;
use crate::servers::{Server, Servers};
use list::Mutant;
use scratch::Scratch;
use verdict::Verdict;

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
    see_that_nothing_fails_by_itself(&scratch, &mutants)?;
    let mut survivors = Vec::new();
    println!("{:<44} {:>7}  caught by", "mutant", "time");
    for mutant in &mutants {
        let began = Instant::now();
        let verdict = attempt(&scratch, mutant).with_context(|| format!("the mutant {}", mutant.name))?;
        let seconds = began.elapsed().as_secs_f32();
        if !verdict.is_caught() {
            survivors.push(&*mutant.name);
        }
        println!("{:<44} {seconds:>5.1} s  {verdict}", mutant.name);
    }
    println!("{} mutants, {} not caught", mutants.len(), survivors.len());
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

/// A test that fails anyway, or that isn't there, would "catch" anything, or nothing.
fn see_that_nothing_fails_by_itself(scratch: &Scratch, mutants: &[Mutant]) -> Result<()> {
    let commands: BTreeMap<&str, &str> = mutants.iter().map(|mutant| (&*mutant.caught_by, &*mutant.name)).collect();
    for (command, name) in commands {
        match scratch.run(command)? {
            Verdict::Survived { tests } if tests > 0 => {}
            Verdict::Survived { .. } => bail!("`{command}`, named by {name}, runs no test"),
            verdict => bail!("`{command}`, named by {name}, fails without any mutant: {verdict}"),
        }
    }
    Ok(())
}

fn attempt(scratch: &Scratch, mutant: &Mutant) -> Result<Verdict> {
    let _applied = scratch.apply(mutant)?;
    scratch.run(&mutant.caught_by)
}
