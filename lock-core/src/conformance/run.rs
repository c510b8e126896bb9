//! Running a case: its store, its time limit, its verdict.

use std::fmt;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use super::kit::{Kit, Trouble};
use super::{CASES, Case, Harness, HarnessError};

/// How a case ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store keeps the rule.
    Passed,
    /// The store can't have it, by what it declares; says why.
    NotApplicable(&'static str),
}

/// Why a case failed: which rule is broken, and what was seen.
#[derive(Debug)]
pub struct Failure {
    case: &'static Case,
    seen: String,
}

impl Failure {
    /// The case that failed.
    pub fn case(&self) -> &'static Case {
        self.case
    }
    /// What was seen, in a sentence.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { name, rule, description, .. } = self.case;
        write!(f, "{name} failed\n  rule      {rule}\n  expected  {description}\n  seen      {}", self.seen)
    }
}

impl std::error::Error for Failure {}

/// How often a case is run again when the machine was too slow for it.
const TRIES: u32 = 6;

/// Runs one case on a harness, within a time limit that grows with the harness' TTL.
///
/// Dropping the future stops the case; what it left in the store is the harness' to remove.
///
/// # Errors
/// [`Failure`] when the store breaks the rule, gives an error, or doesn't answer in time; also when the harness can't
/// connect a client, or clean up.
///
/// # Panics
/// When there is no case of that name.
pub async fn run_case(name: &str, harness: &dyn Harness) -> Result<Outcome, Failure> {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case named {name}"));
    let failure = |seen: String| Failure { case, seen };
    let result = attempts(case, harness).await;
    let cleaned = harness.clean_up().await;
    let outcome = result.map_err(failure)?;
    cleaned.map_err(|error| failure(format!("the harness can't clean up: {error}")))?;
    Ok(outcome)
}

async fn attempts(case: &Case, harness: &dyn Harness) -> Result<Outcome, String> {
    let mut slow = String::new();
    for attempt in 0..TRIES {
        let kit = Kit::start(harness, attempt).await.map_err(|error| format!("the harness can't connect: {error}"))?;
        if let Some(why) = case.needs.missing(&kit.a) {
            return Ok(Outcome::NotApplicable(why));
        }
        let limit = Duration::from_secs(60) + 10 * (kit.ttl.get() + kit.tolerance + kit.wake_up_within);
        match timeout(limit, (case.body)(&kit)).await {
            Ok(Ok(())) => return Ok(Outcome::Passed),
            Ok(Err(Trouble::Broken(seen))) => return Err(seen),
            Ok(Err(Trouble::TooSlow(what))) => slow = what,
            Err(_) => return Err(format!("the case didn't end within {limit:?}: some call hangs")),
        }
    }
    Err(format!("{TRIES} times in a row the machine was too slow: {slow}"))
}

/// Runs one case on a harness that `start` makes, on a tokio runtime of its own: the body of a generated test.
///
/// # Panics
/// When the case fails or the harness can't start, saying which rule is broken and what was seen.
pub fn run<H, E, F>(name: &str, start: impl FnOnce() -> F)
where
    H: Harness,
    E: Into<HarnessError>,
    F: Future<Output = Result<H, E>>,
{
    match on_a_runtime(start, async |harness: H| run_case(name, &harness).await) {
        Ok(Outcome::Passed) => {}
        Ok(Outcome::NotApplicable(why)) => println!("{name} is not applicable: {why}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Prints which cases don't apply to the store, and why: the body of a generated test.
///
/// # Panics
/// When the harness can't start.
pub fn report_not_applicable<H, E, F>(start: impl FnOnce() -> F)
where
    H: Harness,
    E: Into<HarnessError>,
    F: Future<Output = Result<H, E>>,
{
    let skipped = on_a_runtime(start, async |harness: H| {
        let client = harness.client().await.unwrap_or_else(|error| panic!("the harness can't connect: {error}"));
        CASES.iter().filter_map(|case| Some((case.name, case.needs.missing(&client)?))).collect::<Vec<_>>()
    });
    println!("{} of {} cases are not applicable", skipped.len(), CASES.len());
    for (name, why) in skipped {
        println!("  {name}: {why}");
    }
}

fn on_a_runtime<H, E, F, T>(start: impl FnOnce() -> F, body: impl AsyncFnOnce(H) -> T) -> T
where
    E: Into<HarnessError>,
    F: Future<Output = Result<H, E>>,
{
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("no tokio runtime");
    let value = runtime.block_on(async {
        // A store that isn't there is a failure: a test that passes because its server is missing proves nothing.
        let harness = start().await.unwrap_or_else(|error| panic!("the harness can't start: {}", error.into()));
        body(harness).await
    });
    // A backend's own tasks may block; they must not keep the test from ending.
    runtime.shutdown_timeout(Duration::from_secs(5));
    value
}
