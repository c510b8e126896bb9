//! Logging, for those who ask for it.

use std::io::{self, Write};
use std::str::FromStr;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::Failure;
use crate::{redact, settings};

/// Logs to stderr what `DISTLOCK_LOG` asks for. Without it nothing is set up: that costs time.
pub(crate) fn start() -> Result<(), Failure> {
    let Some(wanted) = settings::variable("DISTLOCK_LOG")? else { return Ok(()) };
    let wanted = Targets::from_str(&wanted).map_err(|error| {
        let error = redact::text(&error.to_string());
        Failure::usage(format!("DISTLOCK_LOG can't be read: {error}; set it to info, debug, or lock_core=debug"))
    })?;
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Redacting(io::stderr()));
    // Fails only if there is a subscriber already, and there is none.
    let _ = tracing_subscriber::registry().with(wanted).with(layer).try_init();
    Ok(())
}

/// Drivers log URLs: their passwords stop here.
struct Redacting<W>(W);

impl<W: Write> Write for Redacting<W> {
    /// The subscriber writes a line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact::text(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
