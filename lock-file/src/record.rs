//! A generation's record: one fixed-width line that changes, and one line of JSON that doesn't.
//!
//! ```text
//! distlock 1 held     00000001234567890123 00347 89abcdef 01234567
//! {"key":"deploy","owner":"…","pid":12345,…}
//! ```
//! version, state, time (deadline, or when it was released), length and checksum of the body,
//! checksum of what stands before. Renewing and releasing rewrite the first line, in place, by
//! one write; so neither needs space on the disk, except where the file system copies on write
//! (btrfs, ZFS).

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use lock_core::{FencingToken, LockKey, LockRecord, OwnerId, Ttl};
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// Bytes of the first line, its end included.
pub(crate) const HEADER_LEN: usize = 65;
/// More than any record of ours has: a key of 1024 bytes, a label of 256, two names of files.
const MAX_BODY: usize = 64 * 1024;

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) state: State,
    pub(crate) body_len: usize,
    pub(crate) body_sum: u32,
}

/// Whether the lock is held, and the time that goes with it (the lease clock's nanoseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Held until this deadline.
    Held(u64),
    /// Released at this time.
    Released(u64),
}

/// The second line, for people and for takeovers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) key: String,
    pub(crate) owner: Option<String>,
    pub(crate) token: u64,
    pub(crate) ttl_ms: u64,
    pub(crate) pid: u32,
    /// When the process was started, in the ticks of /proc: a process id alone is used again.
    pub(crate) started: Option<u64>,
    pub(crate) host: String,
    pub(crate) program: String,
    pub(crate) label: Option<String>,
    pub(crate) acquired_at: String,
    pub(crate) boot: Option<String>,
    pub(crate) time_ns: Option<String>,
}

/// A record that was read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) state: State,
    pub(crate) body: Body,
}

impl Header {
    /// The line, with its checksum.
    pub(crate) fn line(self) -> [u8; HEADER_LEN] {
        let (word, time) = match self.state {
            State::Held(deadline) => ("held", deadline),
            State::Released(at) => ("released", at),
        };
        let mut line = [b'\n'; HEADER_LEN];
        let mut rest = &mut line[..];
        let said = write!(rest, "distlock 1 {word:<8} {time:020} {:05} {:08x} ", self.body_len, self.body_sum);
        debug_assert!(said.is_ok(), "the line has room for its fields");
        let sum = crc32fast::hash(&line[..HEADER_LEN - 9]);
        let mut rest = &mut line[HEADER_LEN - 9..];
        let said = write!(rest, "{sum:08x}");
        debug_assert!(said.is_ok());
        line
    }

    /// Reads the line; `None` when its checksum or anything else is wrong.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line.get(..HEADER_LEN)?).ok()?;
        let (text, sum) = line.split_at_checked(HEADER_LEN - 9)?;
        if u32::from_str_radix(sum.trim_end(), 16).ok()? != crc32fast::hash(text.as_bytes()) {
            return None;
        }
        let mut words = text.split_ascii_whitespace();
        (words.next() == Some("distlock") && words.next() == Some("1")).then_some(())?;
        let (word, time) = (words.next()?, words.next()?.parse().ok()?);
        let state = match word {
            "held" => State::Held(time),
            "released" => State::Released(time),
            _ => return None,
        };
        // Anybody can write a checksum: a length is believed only if one of ours may have it.
        let body_len = words.next()?.parse().ok().filter(|len| *len <= MAX_BODY)?;
        let body_sum = u32::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { state, body_len, body_sum })
    }
}

impl Body {
    /// The whole record's bytes in `state`, and the header that says so.
    pub(crate) fn encode(&self, state: State) -> io::Result<(Vec<u8>, Header)> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&[0; HEADER_LEN]);
        serde_json::to_writer(&mut bytes, self)?;
        let body = &bytes[HEADER_LEN..];
        if body.len() > MAX_BODY {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the host's or the program's name is too long"));
        }
        let header = Header { state, body_len: body.len(), body_sum: crc32fast::hash(body) };
        bytes[..HEADER_LEN].copy_from_slice(&header.line());
        bytes.push(b'\n');
        Ok((bytes, header))
    }

    /// The owner, if there is one.
    pub(crate) fn owner(&self) -> Option<OwnerId> {
        self.owner.as_ref()?.parse().ok()
    }

    /// What people are told of the holder: never the process id of a stranger, whom they might kill.
    pub(crate) fn describe(&self, host: &Host, key: LockKey, expires_in: Option<Duration>) -> LockRecord {
        let record = LockRecord::unknown(key);
        let token = FencingToken::new(self.token);
        let record = match self.owner() {
            Some(owner) => record.with_grant(owner, token),
            None => record.with_token(token),
        };
        let record = record.with_description(
            Some(self.host.clone()),
            Some(self.pid).filter(|_| !host.names_a_stranger(self)),
            Some(self.program.clone()),
            self.label.clone(),
        );
        let record = match humantime::parse_rfc3339(&self.acquired_at) {
            Ok(at) => record.with_acquired_at(at),
            Err(_) => record,
        };
        match (Ttl::new(Duration::from_millis(self.ttl_ms)), expires_in) {
            (Ok(ttl), left) => record.with_lease(ttl, left),
            (Err(_), Some(left)) => record.with_expires_in(left),
            (Err(_), None) => record,
        }
    }
}

impl Record {
    /// The record in `bytes`; `None` when a checksum or anything else is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = Header::parse(bytes)?;
        let body = bytes.get(HEADER_LEN..HEADER_LEN + header.body_len)?;
        (crc32fast::hash(body) == header.body_sum).then_some(())?;
        Some(Self { state: header.state, body: serde_json::from_slice(body).ok()? })
    }

    /// How many bytes a record has whose first bytes are these.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        Header::parse(bytes).map(|header| HEADER_LEN + header.body_len)
    }
}

/// The token that stands in a damaged record's second line, if that can still be read.
pub(crate) fn salvage_token(bytes: &[u8]) -> Option<u64> {
    let body = bytes.split(|byte| *byte == b'\n').find(|line| line.first() == Some(&b'{'))?;
    serde_json::from_slice::<Body>(body).ok().map(|body| body.token)
}

/// A moment as it stands in a record.
pub(crate) fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Body {
        Body {
            key: "a\nb".into(),
            owner: Some(OwnerId::from_bytes([7; 16]).to_string()),
            token: 17,
            ttl_ms: 15_000,
            pid: 1,
            started: None,
            host: "h".into(),
            program: "p".into(),
            label: None,
            acquired_at: timestamp(SystemTime::UNIX_EPOCH),
            boot: None,
            time_ns: None,
        }
    }

    #[test]
    fn a_record_survives_its_text() {
        for state in [State::Held(u64::MAX), State::Released(0)] {
            let (bytes, header) = body().encode(state).unwrap();
            assert_eq!(bytes.split(|byte| *byte == b'\n').count(), 3, "two lines, and their ends");
            assert_eq!(Header::parse(&bytes), Some(header));
            assert_eq!(Record::parse(&bytes), Some(Record { state, body: body() }));
        }
    }

    #[test]
    fn fault_58_a_length_that_no_record_has_is_damage() {
        for len in [MAX_BODY + 1, usize::MAX] {
            let text = format!("distlock 1 held 1 {len} 0");
            let text = format!("{text:<width$}", width = HEADER_LEN - 9);
            let line = format!("{text}{:08x}\n", crc32fast::hash(text.as_bytes()));
            assert_eq!((Record::length(line.as_bytes()), Record::parse(line.as_bytes())), (None, None), "{len}");
        }
    }

    #[test]
    fn fault_58_no_damaged_byte_passes() {
        let (bytes, header) = body().encode(State::Held(1)).unwrap();
        for at in 0..HEADER_LEN + header.body_len {
            // The line's end and the blank before the checksum mean nothing.
            if at == HEADER_LEN - 1 {
                continue;
            }
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert_eq!(Record::parse(&torn), None, "byte {at}");
            assert_eq!(Record::parse(&bytes[..at]), None, "cut at {at}");
        }
        assert_eq!(salvage_token(&bytes[10..]), Some(17));
    }
}
