//! What a store can say of a lock that is held.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{FencingToken, HolderInfo, LockKey, OwnerId, Ttl};

/// What a store knows of a lock that is held. `None` where it doesn't know: a foreign client may
/// hold the lock and have left nothing but the fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRecord {
    key: LockKey,
    token: Option<FencingToken>,
    owner: Option<OwnerId>,
    host: Option<String>,
    pid: Option<u32>,
    program: Option<String>,
    label: Option<String>,
    acquired_at: Option<SystemTime>,
    ttl: Option<Ttl>,
    expires_in: Option<Duration>,
    location: Option<String>,
}

impl LockRecord {
    /// A record of which nothing but the key is known.
    pub fn unknown(key: LockKey) -> Self {
        Self {
            key,
            token: None,
            owner: None,
            host: None,
            pid: None,
            program: None,
            label: None,
            acquired_at: None,
            ttl: None,
            expires_in: None,
            location: None,
        }
    }

    /// Adds the grant's token and owner.
    pub fn with_grant(mut self, owner: OwnerId, token: FencingToken) -> Self {
        self.owner = Some(owner);
        self.token = Some(token);
        self
    }

    /// Adds the token alone, where the store knows no owner.
    pub fn with_token(mut self, token: FencingToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Adds what the holder says of itself.
    pub fn with_holder(mut self, info: &HolderInfo) -> Self {
        self.host = Some(info.host().to_owned());
        self.pid = Some(info.pid());
        self.program = Some(info.program().to_owned());
        self.label = info.label().map(str::to_owned);
        self
    }

    /// Adds what a stored text says of the holder, each part where it is known.
    pub fn with_description(
        mut self,
        host: Option<String>,
        pid: Option<u32>,
        program: Option<String>,
        label: Option<String>,
    ) -> Self {
        (self.host, self.pid, self.program, self.label) = (host, pid, program, label);
        self
    }

    /// Adds when the grant was made, by the wall clock of whoever wrote it down.
    pub fn with_acquired_at(mut self, at: SystemTime) -> Self {
        self.acquired_at = Some(at);
        self
    }

    /// Adds the TTL and how long the lease lives on unless it is renewed.
    pub fn with_lease(mut self, ttl: Ttl, expires_in: Option<Duration>) -> Self {
        self.ttl = Some(ttl);
        self.expires_in = expires_in;
        self
    }

    /// Adds how long the lease lives on unless it is renewed, where the TTL isn't known.
    pub fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// Adds where the lock is, for people: a path, a key in a store.
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// The lock's key.
    pub fn key(&self) -> &LockKey {
        &self.key
    }
    /// The holder's fencing token.
    pub fn token(&self) -> Option<FencingToken> {
        self.token
    }
    /// The holder.
    pub fn owner(&self) -> Option<OwnerId> {
        self.owner
    }
    /// The holder's host.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
    /// The holder's process id, in its own namespace.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }
    /// The holder's program.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }
    /// The holder's note.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
    /// When the grant was made, by the wall clock of whoever wrote it down.
    pub fn acquired_at(&self) -> Option<SystemTime> {
        self.acquired_at
    }
    /// The TTL granted.
    pub fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }
    /// How long the lease lives on unless it is renewed. Zero: it is over and may be taken.
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }
    /// Where the lock is, for people: a path, a key in a store.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

impl fmt::Display for LockRecord {
    /// One line: `pid 12345 (deploy.sh on web-1, label "blue"), since
    /// 2026-11-22T10:45:12Z, token 17, for another 12.3s unless renewed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}")?,
            None => f.write_str("an unknown holder")?,
        }
        let (program, host) = (self.program.as_deref(), self.host.as_deref());
        let label = self.label.as_ref().map(|label| format!("label {label:?}"));
        let place = match (program, host) {
            (Some(program), Some(host)) => Some(format!("{} on {}", program.escape_debug(), host.escape_debug())),
            (Some(one), None) | (None, Some(one)) => Some(one.escape_debug().to_string()),
            (None, None) => None,
        };
        let about: Vec<String> = place.into_iter().chain(label).collect();
        if !about.is_empty() {
            write!(f, " ({})", about.join(", "))?;
        }
        // The formatter refuses years beyond 9999, which a foreign record may well claim.
        let sane = |at: &SystemTime| *at >= UNIX_EPOCH && *at < UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        if let Some(at) = self.acquired_at.filter(sane) {
            write!(f, ", since {}", humantime::format_rfc3339_seconds(at))?;
        }
        if let Some(token) = self.token {
            write!(f, ", token {token}")?;
        }
        if let Some(left) = self.expires_in {
            write!(f, ", for another {:.1}s unless renewed", left.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_one_line_and_says_nothing_it_does_not_know() {
        let key = LockKey::new("deploy").unwrap();
        assert_eq!(LockRecord::unknown(key.clone()).to_string(), "an unknown holder");
        let record = LockRecord::unknown(key)
            .with_description(Some("web-1".into()), Some(12345), Some("deploy\n.sh".into()), Some("blue".into()))
            .with_token(FencingToken::new(17))
            .with_acquired_at(UNIX_EPOCH + Duration::from_secs(38_712))
            .with_expires_in(Duration::from_millis(12_340));
        let line = r#"pid 12345 (deploy\n.sh on web-1, label "blue"), since 1970-01-01T10:45:12Z, token 17, "#;
        assert_eq!(record.to_string(), format!("{line}for another 12.3s unless renewed"));
        let absurd = record.with_acquired_at(UNIX_EPOCH + Duration::from_secs(1 << 40));
        assert!(!absurd.to_string().contains("since"));
    }
}
