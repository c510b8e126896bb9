//! `doctor`: checks the store before one depends on it.

use std::fmt::Write as _;

use distlock::{ConnectError, Finding, Severity};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::exit::{self, Failure};
use crate::output::{answer, json};
use crate::{redact, settings};

pub(crate) async fn doctor(args: DoctorArgs) -> Result<u8, Failure> {
    let findings = match distlock::open(&settings::url(&args.store)?).await {
        Ok(store) => store.preflight().await,
        // A store that can't even be opened is a finding as well.
        Err(ConnectError::Backend(error)) => {
            let denied = exit::of_backend(&error) == exit::DENIED;
            let severity = if denied { Severity::Denied } else { Severity::Unusable };
            let why = "no lock can be acquired until that is mended";
            let advice = error.advice().unwrap_or("mend what the message says, or name another store with --url");
            vec![Finding::new(severity, "open", redact::text(error.message()), why, advice)]
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        json(&findings.iter().map(FindingJson::from).collect::<Vec<_>>())?;
    } else {
        answer(&report(&findings))?;
    }
    Ok(match findings.iter().map(Finding::severity).max() {
        None | Some(Severity::Good) => exit::DONE,
        Some(Severity::Warning) => exit::NO,
        Some(Severity::Unusable) => exit::UNAVAILABLE,
        Some(Severity::Denied) => exit::DENIED,
    })
}

fn report(findings: &[Finding]) -> String {
    let mut report = String::new();
    for finding in findings {
        let name = severity(finding.severity());
        // Writing to a string never fails.
        let _ = writeln!(report, "{name:<8}  {}: {}", finding.check(), finding.what());
        for (word, text) in [("why", finding.why()), ("do", finding.advice())] {
            if !text.is_empty() {
                let _ = writeln!(report, "          {word:<4}{text}");
            }
        }
    }
    report
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Good => "good",
        Severity::Warning => "warning",
        Severity::Unusable => "unusable",
        Severity::Denied => "denied",
    }
}

/// A finding, as `--json` prints it.
#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'static str,
    check: &'a str,
    what: &'a str,
    why: &'a str,
    advice: &'a str,
}

impl<'a> From<&'a Finding> for FindingJson<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            severity: severity(finding.severity()),
            check: finding.check(),
            what: finding.what(),
            why: finding.why(),
            advice: finding.advice(),
        }
    }
}
