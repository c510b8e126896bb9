//! Telling who holds a lock: to a person who finds it taken.

use std::time::{Duration, SystemTime};

use distlock::{HolderInfo, LockRecord};
use jiff::Timestamp;
use rustix::process::{Pid, test_kill_process};

use crate::output::plain;
use crate::redact;

/// What matters of this side when telling a person what to do.
pub(crate) struct Here<'a> {
    pub(crate) host: String,
    pub(crate) now: SystemTime,
    /// `--url`, if it was given: the advice needs it as well.
    pub(crate) url: Option<&'a str>,
    /// Whether a process of this host lives.
    pub(crate) lives: fn(u32) -> bool,
}

impl<'a> Here<'a> {
    pub(crate) fn new(url: Option<&'a str>) -> Self {
        let host = HolderInfo::this_process().host().to_owned();
        Self { host, now: SystemTime::now(), url, lives }
    }
}

/// Who holds it and what can be done about that, in the words of the contract.
pub(crate) fn taken(record: &LockRecord, here: &Here<'_>) -> String {
    let url = here.url.map(|url| format!("--url {} ", quoted(&redact::text(url)))).unwrap_or_default();
    let key = quoted(record.key().as_str());
    let token = record.token().map(|token| format!("--if-token {token} ")).unwrap_or_default();
    let looks_like_an_option = record.key().as_str().starts_with('-');
    let dashes = if looks_like_an_option { "-- " } else { "" };
    let mut lines = vec![held_by(record, here.now)];
    // Where the dashes begin the command there is no way to give such a key.
    if !looks_like_an_option {
        lines.push(format!("wait for it:      distlock run {url}--wait 30s {key} -- ..."));
    }
    lines.extend(stop(record, here));
    let place = record.location().map(|place| {
        // A server's key is where the URL says; a directory may have been chosen by the variable.
        let chosen = if place.starts_with('/') { ", chosen by --url or DISTLOCK_DIR" } else { "" };
        format!("its place:        {}{chosen}", told(place))
    });
    lines.push(format!("take it away:     distlock break {url}{token}{dashes}{key}"));
    lines.extend(place);
    lines.join("\n          ")
}

/// One sentence: who holds it, since when, for how long.
pub(crate) fn held_by(record: &LockRecord, now: SystemTime) -> String {
    let mut text = format!("\"{}\" is held by {}", record.key(), who(record));
    if let Some(at) = record.acquired_at().and_then(|at| Timestamp::try_from(at).ok()) {
        let today =
            Timestamp::try_from(now).is_ok_and(|now| now.strftime("%F").to_string() == at.strftime("%F").to_string());
        text += &at.strftime(if today { " since %T UTC" } else { " since %F %T UTC" }).to_string();
    }
    if let Some(token) = record.token() {
        text += &[", token ", &token.to_string()].concat();
    }
    match record.expires_in() {
        None => text,
        Some(Duration::ZERO) => text + ",\n          whose lease is over: it can be taken now",
        Some(left) => format!("{text},\n          for another {:.1} s unless renewed", left.as_secs_f64()),
    }
}

/// What a holder told of itself, or a store: fit for a terminal, without secrets.
fn told(text: &str) -> String {
    redact::text(&plain(text))
}

/// The holder, as far as the store knows: `pid 12345 (deploy.sh on web-1, label "blue")`.
fn who(record: &LockRecord) -> String {
    let place = match (record.program(), record.host()) {
        (Some(program), Some(host)) => Some(format!("{} on {}", told(program), told(host))),
        (Some(one), None) | (None, Some(one)) => Some(told(one)),
        (None, None) => None,
    };
    let label = record.label().map(|label| format!("label \"{}\"", told(label)));
    let about: Vec<String> = place.into_iter().chain(label).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    match record.pid() {
        Some(pid) => format!("pid {pid}{about}"),
        None => format!("unknown{about}"),
    }
}

/// How to stop the holder, where there is something to say.
fn stop(record: &LockRecord, here: &Here<'_>) -> Option<String> {
    let (pid, host) = (record.pid()?, record.host()?);
    Some(if host != here.host {
        format!("stop the holder:  kill {pid}  (on {})", plain(host))
    } else if (here.lives)(pid) {
        format!("stop the holder:  kill {pid}")
    } else {
        // Or it lives in another container of the same host's name.
        format!(
            "stop the holder:  there is no process {pid} here any more; the lock frees itself when its time is over"
        )
    })
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@%+=,*".contains(c) && c != '*';
    if word.chars().any(char::is_control) {
        let escaped: String = word.chars().flat_map(escaped).collect();
        format!("$'{escaped}'")
    } else if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A character between `$'` and `'`.
fn escaped(c: char) -> Vec<char> {
    match c {
        '\'' | '\\' => vec!['\\', c],
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)).chars().collect(),
        c => vec![c],
    }
}

#[cfg(test)]
mod tests {
    use distlock::{FencingToken, LockKey, Ttl};

    use super::*;

    /// 2026-11-22 10:45:12 UTC
    const AT: Duration = Duration::from_secs(1_795_344_312);

    fn record(key: &str) -> LockRecord {
        LockRecord::unknown(LockKey::new(key).unwrap())
    }

    fn known(host: &str) -> LockRecord {
        record("deploy")
            .with_token(FencingToken::new(17))
            .with_description(Some(host.into()), Some(12345), Some("deploy.sh".into()), Some("blue".into()))
            .with_acquired_at(SystemTime::UNIX_EPOCH + AT)
            .with_lease(Ttl::default(), Some(Duration::from_millis(12_300)))
    }

    fn here(lives: fn(u32) -> bool) -> Here<'static> {
        let now = SystemTime::UNIX_EPOCH + AT + Duration::from_secs(3);
        Here { host: "web-1".into(), now, url: None, lives }
    }

    #[test]
    fn held_is_told_in_the_words_of_the_contract() {
        let expected = r#""deploy" is held by pid 12345 (deploy.sh on web-1, label "blue") since 10:45:12 UTC, token 17,
          for another 12.3 s unless renewed
          wait for it:      distlock run --wait 30s deploy -- ...
          stop the holder:  kill 12345
          take it away:     distlock break --if-token 17 deploy"#;
        assert_eq!(taken(&known("web-1"), &here(|_| true)), expected);
    }

    #[test]
    fn where_the_lock_is_is_told_if_known() {
        let said = taken(&known("web-1").with_location("/run/locks/deploy"), &here(|_| true));
        assert!(
            said.ends_with("\n          its place:        /run/locks/deploy, chosen by --url or DISTLOCK_DIR"),
            "{said}"
        );
        let said = taken(&known("web-1").with_location("the key deploy/.lock"), &here(|_| true));
        assert!(said.ends_with("\n          its place:        the key deploy/.lock"), "{said}");
    }

    #[test]
    fn advice_fits_the_holder() {
        assert!(taken(&known("web-2"), &here(|_| true)).contains("kill 12345  (on web-2)"));
        let gone = taken(&known("web-1"), &here(|_| false));
        assert!(!gone.contains("kill ") && gone.contains("no process 12345"), "{gone}");
        let foreign = taken(&record("deploy"), &here(|_| true));
        assert!(foreign.starts_with("\"deploy\" is held by unknown\n"), "{foreign}");
        assert!(foreign.ends_with("distlock break deploy") && !foreign.contains("stop the holder"), "{foreign}");
        let later = Here { now: SystemTime::UNIX_EPOCH + AT + Duration::from_secs(86_400), ..here(|_| true) };
        assert!(taken(&known("web-1"), &later).contains("since 2026-11-22 10:45:12 UTC"));
    }

    #[test]
    fn advice_can_be_pasted_into_a_shell() {
        for (key, word) in
            [("a b", "'a b'"), ("it's", r"'it'\''s'"), ("a\n'", r"$'a\u000a\''"), ("$(x)", "'$(x)'"), ("*", "'*'")]
        {
            assert!(taken(&record(key), &here(|_| true)).ends_with(&format!("distlock break {word}")), "{key:?}");
        }
        for (key, word) in [("-k", "-k"), ("-a b", "'-a b'")] {
            let said = taken(&record(key), &here(|_| true));
            assert!(said.ends_with(&format!("distlock break -- {word}")), "{said}");
            // `run` takes no such key.
            assert!(!said.contains("distlock run"), "{said}");
        }
        let url = Here { url: Some("redis://u:hunter2@h"), ..here(|_| true) };
        let said = taken(&record("k"), &url);
        assert!(said.ends_with("distlock break --url 'redis://***@h' k") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_holder_cannot_write_to_the_terminal() {
        let record =
            record("k").with_description(Some("\u{1b}[2J".into()), Some(1), Some("\r".into()), Some("\n".into()));
        let said = held_by(&record, SystemTime::now());
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }

    #[test]
    fn fault_70_a_holders_label_loses_its_password_and_the_key_keeps_its_name() {
        let record = record("x://a@b").with_description(None, None, None, Some("y://u:hunter2@h".into()));
        let said = taken(&record, &here(|_| true));
        assert!(said.starts_with(r#""x://a@b" is held by unknown (label "y://***@h")"#), "{said}");
        assert!(said.ends_with("distlock break x://a@b"), "{said}");
    }
}
