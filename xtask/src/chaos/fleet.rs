//! The client processes: started, stopped, continued, killed, started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::Options;
use super::clocks::Clocks;
use super::event::{Act, Deed, Nanos};
use super::journal::{Journal, now};

/// All clients of a run.
pub(super) struct Fleet {
    places: Vec<Place>,
    recipe: Recipe,
    journal: Journal,
    /// From when on everybody is left alone.
    quiet_from: Nanos,
}

/// Where one client after the other runs.
#[derive(Default)]
struct Place {
    /// How many ran here.
    generation: u64,
    child: Option<Child>,
    /// When to continue the client, if it is stopped; when to start one, if there is none.
    due: Option<Nanos>,
}

/// How a client is started.
struct Recipe {
    /// Each place has its own way to the store.
    urls: Vec<String>,
    directory: PathBuf,
    seed: u64,
    ttl: Duration,
    keys: usize,
    quiet_from: Nanos,
    until: Nanos,
    clocks: Clocks,
}

impl Fleet {
    pub(super) fn start(
        options: &Options,
        directory: &std::path::Path,
        journal: Journal,
        urls: Vec<String>,
        keys: usize,
        clocks: Clocks,
        (quiet_from, until): (Nanos, Nanos),
    ) -> Result<Self> {
        let directory = directory.to_owned();
        let (seed, ttl) = (options.seed, options.ttl());
        let recipe = Recipe { urls, directory, seed, ttl, keys, quiet_from, until, clocks };
        let places = (0..options.processes).map(|_| Place { due: Some(0), ..Place::default() }).collect();
        let mut fleet = Self { places, recipe, journal, quiet_from };
        fleet.look()?;
        Ok(fleet)
    }

    /// Whether some client runs.
    pub(super) fn is_running(&self) -> bool {
        self.places.iter().any(|place| place.child.is_some())
    }

    /// Whether nobody is stopped.
    pub(super) fn is_awake(&self) -> bool {
        self.places.iter().all(|place| place.child.is_none() || place.due.is_none())
    }

    /// Sets the wall clocks of half the clients; `by` decides to when.
    pub(super) fn set_clocks(&self, by: Duration) -> Result<bool> {
        let before = now();
        let Some(ahead_ms) = self.recipe.clocks.set(by)? else { return Ok(false) };
        self.tell(before, Deed::ClockSet { ahead_ms });
        Ok(true)
    }

    /// Kills those that have not ended.
    pub(super) fn end(&mut self) -> Result<()> {
        for place in 0..self.places.len() {
            let before = now();
            if self.kill(place, 0)? {
                let process = self.name(place);
                self.tell(before, Deed::Ended { process, good: false });
            }
        }
        Ok(())
    }

    /// Sends SIGKILL; the next client begins here at `again`.
    pub(super) fn kill(&mut self, place: usize, again: Nanos) -> Result<bool> {
        let process = self.name(place);
        let Some(mut child) = self.running(place)? else { return Ok(false) };
        let before = now();
        child.kill().context("killing a client")?;
        self.tell(before, Deed::Killed { process });
        child.wait()?;
        self.places[place].due = Some(again);
        Ok(true)
    }

    /// Sends SIGSTOP; SIGCONT follows at `again`. Not more than half are stopped at a time.
    pub(super) fn stop(&mut self, place: usize, again: Nanos) -> Result<bool> {
        let stopped = self.places.iter().filter(|place| place.child.is_some() && place.due.is_some()).count();
        if stopped * 2 >= self.places.len() || self.places[place].due.is_some() {
            return Ok(false);
        }
        let process = self.name(place);
        let Some(child) = self.running(place)? else { return Ok(false) };
        let before = now();
        signal(&child, Signal::STOP)?;
        self.tell(before, Deed::Stopped { process });
        let place = &mut self.places[place];
        (place.child, place.due) = (Some(child), Some(again));
        Ok(true)
    }

    /// Takes a client out of its place. One that has ended by itself is left to `look`.
    fn running(&mut self, place: usize) -> Result<Option<Child>> {
        match &mut self.places[place].child {
            None => Ok(None),
            Some(child) => Ok(if child.try_wait()?.is_none() { self.places[place].child.take() } else { None }),
        }
    }

    /// Which client has this process id now.
    pub(super) fn client_of(&self, pid: u32) -> Option<usize> {
        self.places.iter().position(|place| place.child.as_ref().is_some_and(|child| child.id() == pid))
    }

    /// Writes down a deed that began at `before` and is over.
    pub(super) fn tell(&self, before: Nanos, deed: Deed) {
        self.tell_past(before, now(), deed);
    }

    /// Writes down a deed that was over at `after`.
    pub(super) fn tell_past(&self, before: Nanos, after: Nanos, deed: Deed) {
        self.journal.add(&Act { before, after, deed });
    }

    /// Does what is due.
    pub(super) fn look(&mut self) -> Result<()> {
        for place in 0..self.places.len() {
            let before = now();
            let over = before >= self.quiet_from;
            let due = self.places[place].due;
            let is_due = due.is_some_and(|due| before >= due);
            let process = self.name(place);
            let Some(child) = &mut self.places[place].child else {
                if is_due && !over {
                    self.places[place].due = None;
                    self.spawn(place)?;
                }
                continue;
            };
            if let Some(status) = child.try_wait()? {
                self.tell(before, Deed::Ended { process, good: status.success() });
                (self.places[place].child, self.places[place].due) = (None, Some(before));
            } else if is_due || (over && due.is_some()) {
                signal(child, Signal::CONT)?;
                self.tell(before, Deed::Continued { process });
                self.places[place].due = None;
            }
        }
        Ok(())
    }

    fn name(&self, place: usize) -> String {
        format!("client-{place}.{}", self.places[place].generation)
    }

    fn spawn(&mut self, place: usize) -> Result<()> {
        self.places[place].generation += 1;
        let (process, recipe) = (self.name(place), &self.recipe);
        let seed = recipe.seed ^ ((place as u64) << 48) ^ (self.places[place].generation << 56);
        let errors = File::create(recipe.directory.join(format!("{process}.stderr")))?;
        let mut command = Command::new(super::this_program()?);
        command
            .args(["chaos-client", "--name", &process, "--url", &recipe.urls[place], "--directory"])
            .arg(&recipe.directory);
        command.args(["--seed", &seed.to_string(), "--ttl", &humantime::format_duration(recipe.ttl).to_string()]);
        command.args(["--keys", &recipe.keys.to_string(), "--until", &recipe.until.to_string()]);
        command.args(["--quiet-from", &recipe.quiet_from.to_string()]);
        // Some have two tasks, which queue up within the process.
        command.args(["--tasks", if place.is_multiple_of(3) { "2" } else { "1" }]);
        recipe.clocks.give(&mut command, place);
        let before = now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        self.places[place].child = Some(child.context("starting a client")?);
        self.tell(before, Deed::Started { process });
        Ok(())
    }
}

/// In which place a client with this name ran.
pub(super) fn place_of(name: &str) -> Option<usize> {
    name.strip_prefix("client-")?.split_once('.')?.0.parse().ok()
}

/// A failing run leaves nobody behind.
impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.places.iter_mut().filter_map(|place| place.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {pid}"))
}
