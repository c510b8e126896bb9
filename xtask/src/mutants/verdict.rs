//! What became of a mutant, read off what its command printed.

use std::fmt;
use std::process::ExitStatus;

use anyhow::{Result, ensure};

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// These tests (or invariants of a chaos run) failed.
    Caught(Vec<String>),
    /// It made the command hang.
    Hangs,
    /// Nothing failed, though this many tests ran.
    Survived { tests: usize },
}

impl Verdict {
    /// Judges by the exit status (`None`: it had to be stopped) and the output.
    ///
    /// # Errors
    /// When the command failed and named nothing that did: who knows what it found.
    pub(super) fn of(status: Option<ExitStatus>, output: &str) -> Result<Self> {
        let Some(status) = status else { return Ok(Self::Hangs) };
        if status.success() {
            return Ok(Self::Survived { tests: tests(output) });
        }
        let mut failed: Vec<String> = output.lines().filter_map(failed_test).collect();
        failed.extend(output.lines().filter_map(broken_invariant));
        failed.dedup();
        ensure!(!failed.is_empty(), "the command failed ({status}), but no test of it:\n{output}");
        Ok(Self::Caught(failed))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(by) => f.write_str(&by.join(", ")),
            Self::Hangs => f.write_str("(it hangs: no test fails)"),
            Self::Survived { tests } => write!(f, "NOTHING: it survived {tests} tests"),
        }
    }
}

/// How many tests passed; a chaos run is one.
fn tests(output: &str) -> usize {
    let passed = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok();
    let chaos = output.lines().filter(|line| line.starts_with("chaos: ")).count();
    output.lines().filter_map(passed).sum::<usize>() + chaos
}

/// `test NAME ... FAILED`
fn failed_test(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("test ")?.split_once(" ... FAILED")?;
    Some(name.to_owned())
}

/// A row of the chaos table, under "violations", with another number than 0.
fn broken_invariant(line: &str) -> Option<String> {
    let (name, number) = line.strip_prefix("    ")?.rsplit_once(' ')?;
    let number: usize = number.parse().ok()?;
    let name = name.trim();
    (number > 0 && (name.starts_with('(') || name == "errors")).then(|| format!("chaos {name}: {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_understood() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b".into()));
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(broken_invariant("    (b) exclusion            3"), Some("chaos (b) exclusion: 3".into()));
        assert_eq!(broken_invariant("    (b) exclusion            0"), None);
        assert_eq!(broken_invariant("    kills                    64"), None);
        assert_eq!(tests("test result: ok. 3 passed; 0 failed\nchaos: File\ntest result: ok. 0 passed"), 4);
        assert_eq!(Verdict::of(None, "").unwrap(), Verdict::Hangs);
    }
}
