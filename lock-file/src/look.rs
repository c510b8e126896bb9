//! Looking at a lock: which generation is current, and may it be succeeded?

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use lock_core::{LockKey, LockRecord, Takeover};

use crate::host::Host;
use crate::os;
use crate::record::{Record, State, salvage_token};
use crate::slot::Slot;

/// How often a damaged record is read again: a write under way shows up as damage.
const READS: u32 = 4;
/// How often a generation that vanished is looked for again.
const LOOKS: u32 = 100;
/// No damaged record may push tokens further ahead of the clock than this (a year, in us).
const TOKEN_LEAP: u64 = 366 * 24 * 3600 * 1_000_000;

/// The current generation, opened.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) number: u64,
    /// Older ones that nobody has swept yet, ascending.
    pub(crate) older: Vec<u64>,
    pub(crate) file: File,
}

/// A generation's record and whether it may be succeeded.
#[derive(Debug)]
pub(crate) struct Assessment {
    /// `None`: damaged.
    pub(crate) record: Option<Record>,
    /// The highest token that is known from the record, damaged or not.
    pub(crate) token: u64,
    pub(crate) verdict: Verdict,
}

/// Whether a generation may be succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was released; how long ago, where that can be told.
    Released(Option<Duration>),
    /// Its holder is gone, or didn't renew in time.
    Takeover(Takeover),
    /// It is held; for how long unless renewed, where that can be told.
    Held(Option<Duration>),
}

/// Finds the current generation; `None` in an empty or missing directory.
pub(crate) fn current(slot: &Slot) -> io::Result<Option<Current>> {
    for _ in 0..LOOKS {
        let mut older = slot.generations()?;
        let Some(number) = older.pop() else { return Ok(None) };
        match os::open_record(&slot.generation(number)) {
            Ok(file) => return Ok(Some(Current { number, older, file })),
            // A successor came and swept it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "its generations change faster than they can be read"))
}

/// Judges a generation.
pub(crate) fn assess(host: &Host, path: &Path, file: &File) -> io::Result<Assessment> {
    // Before the record: a renewal that we read was written before the deadline that it moved.
    let now = host.now();
    let (mut record, mut bytes) = read(file)?;
    let mut verdict = judge(host, now, record.as_ref());
    #[cfg(test)]
    host.hand.probing();
    if let Verdict::Held(_) | Verdict::Takeover(_) = verdict
        && os::nobody_locks(path, file, record.as_ref().and_then(|record| record.body.owner()))?
    {
        // It may have been released between the reading and the probe, and that is no crash.
        (record, bytes) = read(file)?;
        verdict = match judge(host, now, record.as_ref()) {
            Verdict::Released(ago) => Verdict::Released(ago),
            _ => Verdict::Takeover(Takeover::Crashed),
        };
    }
    let token = match &record {
        Some(record) => record.body.token,
        None => salvage_token(&bytes).filter(|token| *token < host.wall_micros() + TOKEN_LEAP).unwrap_or(0),
    };
    Ok(Assessment { record, token, verdict })
}

/// What the record alone says.
fn judge(host: &Host, now: u64, record: Option<&Record>) -> Verdict {
    // Damaged: the kernel lock alone decides. Never taken for free by what can't be read.
    let Some(record) = record else { return Verdict::Held(None) };
    let comparable = host.same_clock(&record.body);
    match record.state {
        State::Released(at) if comparable => Verdict::Released(now.checked_sub(at).map(Duration::from_nanos)),
        State::Released(_) => Verdict::Released(None),
        State::Held(_) if !comparable => Verdict::Held(None),
        State::Held(deadline) if now >= deadline => Verdict::Takeover(Takeover::Expired),
        State::Held(deadline) => Verdict::Held(Some(Duration::from_nanos(deadline - now))),
    }
}

/// Reads the record, again if it is damaged; `None` if it stays so.
fn read(file: &File) -> io::Result<(Option<Record>, Vec<u8>)> {
    let mut bytes = Vec::new();
    for _ in 0..READS {
        bytes.resize(1024, 0);
        let mut len = os::read_start(file, &mut bytes)?;
        if let Some(whole) = Record::length(&bytes[..len]).filter(|whole| *whole > bytes.len()) {
            bytes.resize(whole, 0);
            len = os::read_start(file, &mut bytes)?;
        }
        bytes.truncate(len);
        if let Some(record) = Record::parse(&bytes) {
            return Ok((Some(record), bytes));
        }
        std::thread::yield_now();
    }
    Ok((None, bytes))
}

impl Assessment {
    /// What people are told of whoever holds it.
    pub(crate) fn describe(&self, host: &Host, key: &LockKey, slot: &Slot) -> LockRecord {
        let left = match self.verdict {
            Verdict::Held(left) => left,
            Verdict::Takeover(_) => Some(Duration::ZERO),
            Verdict::Released(_) => None,
        };
        let record = match &self.record {
            Some(record) => record.body.describe(host, key.clone(), left),
            None => LockRecord::unknown(key.clone()),
        };
        record.with_location(slot.directory().display().to_string())
    }
}
