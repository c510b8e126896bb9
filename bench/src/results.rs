//! The raw figures, as they are kept in docs/benchmarks/*.json.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::system::uname;
use serde::{Deserialize, Deserializer, Serialize};

use crate::contest::{Contestant, Kind, Role, Way};

/// The contestant that all of this is about.
pub(crate) const OURS: &str = "distlock";
/// The same as a command.
pub(crate) const OUR_COMMAND: &str = "distlock run";
/// How often a lock was granted that somebody held.
pub(crate) const HELD_BY_TWO: &str = "held by two";

/// One run on one backend.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) backend: String,
    pub(crate) store: String,
    pub(crate) date: String,
    pub(crate) machine: String,
    /// Too short to be believed.
    pub(crate) quick: bool,
    pub(crate) contestants: Vec<About>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) failures: Vec<Failure>,
    /// What wasn't measured on purpose, and why.
    #[serde(default)]
    pub(crate) left_out: Vec<Failure>,
    /// How long the run took.
    #[serde(default)]
    pub(crate) seconds: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) lacks: Vec<String>,
    pub(crate) note: String,
    /// What it takes no part in, and why.
    pub(crate) skips: Vec<(Kind, String)>,
}

/// One figure of one contestant, of every round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) of: Of,
    pub(crate) metric: String,
    /// Of a round that gave none, not a number: JSON's null.
    #[serde(deserialize_with = "null_is_nan")]
    pub(crate) rounds: Vec<f64>,
}

fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let rounds = Vec::<Option<f64>>::deserialize(from)?;
    Ok(rounds.into_iter().map(|round| round.unwrap_or(f64::NAN)).collect())
}

/// What was measured of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Of {
    pub(crate) kind: Kind,
    pub(crate) contestant: String,
    /// "over processes, held 1 ms"
    pub(crate) setting: String,
    /// How many tasks, contenders or locks.
    pub(crate) load: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) of: Of,
    pub(crate) why: String,
}

impl Results {
    pub(crate) fn new(backend: &str, store: String, quick: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let machine = format!(
            "{} {}, {}, {cores} cores",
            uname().sysname().to_string_lossy(),
            uname().release().to_string_lossy(),
            uname().machine().to_string_lossy()
        );
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        Self {
            backend: backend.into(),
            store,
            date,
            machine,
            quick,
            contestants: Vec::new(),
            figures: Vec::new(),
            failures: Vec::new(),
            left_out: Vec::new(),
            seconds: 0.0,
        }
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        // A line a figure, so that a diff can be read.
        let text = text.replace("{\"of\":", "\n{\"of\":").replace("{\"name\":", "\n{\"name\":");
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Adds one round's figure.
    pub(crate) fn add(&mut self, of: &Of, metric: &str, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.of == *of && figure.metric == metric) {
            Some(figure) => figure.rounds.push(value),
            None => self.figures.push(Figure { of: of.clone(), metric: metric.into(), rounds: vec![value] }),
        }
    }

    /// Adds that there is none.
    pub(crate) fn fail(&mut self, of: Of, why: String) {
        if self.failures.iter().all(|failure| failure.of != of) {
            self.failures.push(Failure { of, why });
        }
    }

    /// Notes that there is none on purpose.
    pub(crate) fn leave_out(&mut self, of: &Of, why: String) {
        if self.left_out.iter().all(|left_out| left_out.of != *of) {
            self.left_out.push(Failure { of: of.clone(), why });
        }
    }

    pub(crate) fn failure(&self, of: &Of) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.of == *of)
    }

    /// What must never be: that one of our own failed, or that two held its lock at once.
    pub(crate) fn faults_of_ours(&self) -> Vec<String> {
        let ours =
            |of: &Of| of.contestant == OURS || of.contestant.starts_with("distlock,") || of.contestant == OUR_COMMAND;
        let told = |of: &Of, what: &str| {
            format!("{}: {}, {:?} {} {}: {what}", self.backend, of.contestant, of.kind, of.setting, of.load)
        };
        let failures = self.failures.iter().filter(|failure| ours(&failure.of));
        let held_by_two = self.figures.iter().filter(|figure| {
            ours(&figure.of) && figure.metric == HELD_BY_TWO && figure.rounds.iter().any(|round| *round > 0.0)
        });
        let failures = failures.map(|failure| told(&failure.of, &failure.why));
        failures.chain(held_by_two.map(|figure| told(&figure.of, "two held the lock at once"))).collect()
    }

    pub(crate) fn rounds(&self, of: &Of, metric: &str) -> Option<&[f64]> {
        let figure = self.figures.iter().find(|figure| figure.of == *of && figure.metric == metric);
        figure.map(|figure| figure.rounds.as_slice())
    }
}

impl From<&Contestant> for About {
    fn from(contestant: &Contestant) -> Self {
        let language = if let Way::Python(_) = contestant.way { "Python; " } else { "" };
        Self {
            name: contestant.name.into(),
            role: contestant.role,
            lacks: contestant.lacks.iter().map(|lack| lack.text().into()).collect(),
            note: format!("{language}{}", contestant.note),
            skips: contestant.skips.iter().map(|(kind, why)| (*kind, (*why).into())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HELD_BY_TWO, Kind, Of, Results};

    #[test]
    fn what_was_saved_is_loaded_again_figures_that_are_none_as_well() {
        let of = Of { kind: Kind::Handoff, contestant: "one".into(), setting: String::new(), load: 2 };
        let mut results = Results::new("file", "a store".into(), true);
        results.add(&of, "p50 ms", f64::NAN);
        results.add(&of, "p50 ms", 1.5);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file.json");
        results.save(&path).expect("it is written");
        let loaded = Results::load(&path).expect("it is read");
        let rounds = loaded.rounds(&of, "p50 ms").expect("they are there");
        assert!(rounds[0].is_nan() && rounds[1].total_cmp(&1.5).is_eq(), "{rounds:?}");
    }

    #[test]
    fn faults_of_ours_are_told_and_those_of_others_are_not() {
        let of = |name: &str, load| Of { kind: Kind::Handoff, contestant: name.into(), setting: String::new(), load };
        let mut results = Results::new("file", "a store".into(), true);
        for name in ["distlock", "distlock, shared leases", "distributed-lock (file)"] {
            results.fail(of(name, 2), "it broke".into());
            results.add(&of(name, 8), HELD_BY_TWO, 0.0);
            results.add(&of(name, 64), HELD_BY_TWO, 0.0);
            results.add(&of(name, 64), HELD_BY_TWO, 1.0);
        }
        let told = results.faults_of_ours();
        assert_eq!(told.len(), 4, "{told:?}");
    }
}
