//! What is fuzzed: one function for each reader of foreign input. Each takes any bytes, and panics when
//! the reader breaks a promise.
//!
//! The fuzz targets call them, and so does the test `tests/fuzz_corpus.rs` of the project, with every
//! file of the corpus. A new reader gets a function here, a line in [`TARGETS`], a file in
//! `fuzz_targets`, and some inputs in `corpus`.

use std::path::Component;
use std::time::Duration;

use distlock::fuzzing::{consul, etcd, redis};
use distlock::lock_file::fuzzing as file;
use distlock::{Capabilities, FencingToken, LockKey, LockRecord, OwnerId, Ttl, shorten};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("record", record),
    ("key", key),
    ("duration", duration),
    ("url", url),
    ("generation", generation),
    ("token", token),
    ("value", value),
];

/// A record as it stands in a file: by its bytes, and with the checksums that make it worth reading on.
pub fn record(data: &[u8]) {
    read_record(data);
    // The fuzzer does not guess checksums. Up to the first 0 it is the first line's text, then the second.
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (line, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(line) = std::str::from_utf8(line) else { return };
    let sum = crc32fast::hash(body);
    let line = line.replace("LEN", &format!("{:05}", body.len())).replace("SUM", &format!("{sum:08x}"));
    let text = file::FIRST_LINE - 9;
    if line.len() > text {
        return;
    }
    let line = format!("{line:<text$}");
    let mut bytes = format!("{line}{:08x}\n", crc32fast::hash(line.as_bytes())).into_bytes();
    bytes.extend_from_slice(body);
    read_record(&bytes);
}

fn read_record(bytes: &[u8]) {
    if let Some(length) = file::record_length(bytes) {
        assert!(length <= 128 * 1024, "a file makes its reader take {length} bytes of memory");
    }
    let _ = file::token_of_damaged(bytes);
    let Some(read) = file::record(bytes) else { return };
    assert_eq!(file::record(&read.bytes).as_ref(), Some(&read), "what was read can be written and read again");
    for at in [0, read.bytes.len() / 2, read.bytes.len() - 2] {
        let mut torn = read.bytes.clone();
        torn[at] ^= 1;
        assert_eq!(file::record(&torn), None, "a damaged byte passes");
    }
}

/// Two keys: how they are written, and how what isn't one is read.
pub fn key(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0xff).map(|part| std::str::from_utf8(part).ok());
    let (first, second) = (parts.next().flatten(), parts.next().flatten());
    let keys: Vec<LockKey> = [first, second].into_iter().flatten().filter_map(one_key).collect();
    let [a, b] = &keys[..] else { return };
    let apart = a != b;
    assert_eq!(apart, a.encoded() != b.encoded(), "{a:?} {b:?}");
    assert_eq!(apart, a.encoded_within(80) != b.encoded_within(80), "{a:?} {b:?}");
    assert_eq!(apart, file::directory_name(a, false) != file::directory_name(b, false), "{a:?} {b:?}");
    let folded = [a, b].map(|key| file::directory_name(key, true).to_lowercase());
    assert_eq!(apart, folded[0] != folded[1], "{a:?} {b:?}");
}

fn one_key(text: &str) -> Option<LockKey> {
    // Any text as a name that a store has.
    if let Some(key) = LockKey::decode(text) {
        assert_eq!(key.encoded(), text);
    }
    for folds_case in [false, true] {
        if let Some(key) = file::key_of(text, folds_case) {
            assert_eq!(file::directory_name(&key, folds_case), text);
        }
    }
    // And as a key.
    let Ok(key) = LockKey::new(text) else {
        assert!(text.is_empty() || text.len() > LockKey::MAX_LEN);
        return None;
    };
    assert_eq!(key.as_str(), text);
    assert!(!key.to_string().chars().any(char::is_control), "{key:?}");
    let encoded = key.encoded();
    assert!(encoded.len() <= 3 * text.len(), "{encoded}");
    assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%".contains(&byte)), "{encoded}");
    assert!(!matches!(encoded.as_str(), "" | "." | ".."));
    assert_eq!(LockKey::decode(&encoded).as_ref(), Some(&key));
    for max in [80, 200, 255] {
        let within = key.encoded_within(max);
        assert!(within.len() <= max && within == shorten(&encoded, &key, max));
        assert_eq!(within == encoded, encoded.len() <= max);
        assert_eq!(LockKey::decode(&within).is_some(), encoded.len() <= max, "a name that was cut is none of a key");
    }
    for folds_case in [false, true] {
        let name = file::directory_name(&key, folds_case);
        assert!(name.len() <= 200 && !name.starts_with('.') && !name.ends_with('.'), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte)), "{name}");
        let whole = file::key_of(&name, folds_case);
        assert_eq!(whole.as_ref(), (!name.contains('~')).then_some(&key), "{name}");
    }
    Some(key)
}

/// A duration as the command reads it, and what becomes a TTL of it.
pub fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = humantime::parse_duration(text) else { return };
    let told = humantime::format_duration(read).to_string();
    assert_eq!(humantime::parse_duration(&told), Ok(read), "{told}");
    let ttl = match Ttl::new(read) {
        Ok(ttl) => ttl,
        Err(error) => {
            assert!(read < Ttl::MIN || read > Ttl::MAX);
            assert!(error.to_string().len() < 200);
            return;
        }
    };
    assert!(
        ttl.get() >= read && ttl.get().abs_diff(read) < Duration::from_millis(1),
        "a TTL is rounded up, to a millisecond"
    );
    assert_eq!(Duration::from_millis(ttl.as_millis()), ttl.get());
    for unit in [1, 1_000, 60_000].map(Duration::from_millis) {
        let rounded = ttl.round_up_to(unit).get();
        assert!(rounded >= ttl.get() && rounded.abs_diff(ttl.get()) < unit, "{ttl} to {unit:?}");
        let within = Capabilities::new("fuzz").with_ttl_range(Duration::from_secs(1), Duration::from_secs(3600), unit);
        if let Ok(granted) = within.grantable(ttl) {
            assert!(granted.get() >= ttl.get(), "{granted}");
        }
    }
}

/// A store's URL. Nothing is opened.
pub fn url(data: &[u8]) {
    const SECRET: &str = "hunter2-is-a-secret";
    let Ok(text) = std::str::from_utf8(data) else { return };
    match distlock::fuzzing::read_url(text) {
        Ok(Some(directory)) => assert_directory(text, &directory),
        Ok(None) => {}
        Err(error) => assert!(error.to_string().len() < 4 * text.len() + 2000, "{error}"),
    }
    // As the user's part of the address; what stands in a parameter's name is told with the name.
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("file", text));
    // And as Consul's ACL token, which is a parameter.
    let join = if text.contains('?') { '&' } else { '?' };
    let secrets = [
        format!("{scheme}://u:{SECRET}@{rest}"),
        format!("u:{SECRET}@{text}"),
        format!("{scheme}://{rest}{join}token={SECRET}"),
    ];
    for url in secrets {
        if let Err(error) = distlock::fuzzing::read_url(&url) {
            assert!(!format!("{error} {error:?}").contains(SECRET), "{url:?} tells its password: {error}");
        }
    }
}

/// What was found in a lock's key in Redis, etcd or Consul: a holder's record, or what somebody else left there. The
/// first eight bytes are the flags, the time left, and the revision; Consul's answer as a whole has none.
pub fn value(data: &[u8]) {
    let key = LockKey::new("deploy").expect("a key");
    if let Some(contention) = consul::answer(&key, data) {
        assert_record(contention.record(), data);
    }
    let Some((number, value)) = data.split_first_chunk::<8>() else { return };
    let number = u64::from_le_bytes(*number);
    let (record, ours) = redis::value(&key, value, number.cast_signed());
    assert_record(&record, value);
    assert!(ours || record.owner().is_none(), "a foreign value names an owner: {record}");
    let (record, owner) = etcd::value(&key, value, number.cast_signed());
    assert_record(&record, value);
    assert_eq!(record.owner(), owner);
    for flags in [number, consul::LOCK_FLAGS] {
        for held in [false, true] {
            let told = consul::value(&key, value, flags, held);
            assert_eq!(told.is_some(), flags == consul::LOCK_FLAGS, "flags {flags:x}");
            let Some(told) = told else { continue };
            assert_record(told.record(), value);
            assert_eq!((told.record().token().is_some(), told.waiters()), (held, Some(0)), "{}", told.record());
        }
    }
}

/// A terminal shows it in one line, of bounded length.
fn assert_record(record: &LockRecord, found: &[u8]) {
    let line = record.to_string();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    // At most ten characters for one, as "\\u{10ffff}".
    assert!(line.len() <= 10 * found.len() + 300, "{} bytes tell of {}", line.len(), found.len());
}

fn assert_directory(text: &str, directory: &std::path::Path) {
    if text.starts_with("file:/") {
        assert!(directory.is_absolute(), "{text:?} names {}", directory.display());
    }
    let climbs = directory.components().any(|part| part == Component::ParentDir);
    assert!(!climbs || text == "file:", "{text:?} names {}", directory.display());
    if text.contains("prefix=") && text.contains('?') {
        let last = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let plain = last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@._-%~".contains(&byte));
        assert!(!last.starts_with('@') || plain && last.len() <= 201, "{text:?} names {}", directory.display());
    }
}

/// The name of a file in a lock's directory.
pub fn generation(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(number) = file::generation(text)
    {
        assert_eq!(format!("{number:020}"), text);
    }
    if let Some(Ok(bytes)) = data.get(..8).map(<[u8; 8]>::try_from) {
        let (number, next) = (u64::from_le_bytes(bytes), u64::from_le_bytes(bytes).saturating_add(1));
        let names = [number, next].map(|number| format!("{number:020}"));
        assert_eq!(names.each_ref().map(|name| file::generation(name)), [Some(number), Some(next)]);
        assert!(names[0] <= names[1], "names sort as numbers do");
    }
}

/// A fencing token and an owner, as text.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(token) = text.parse::<FencingToken>() {
        let told = token.to_string();
        assert_eq!(told, if told == "0" { "0" } else { text.trim_start_matches('0') });
    }
    if let Ok(owner) = text.parse::<OwnerId>() {
        assert_eq!(owner.to_string(), text.to_ascii_lowercase());
        assert_eq!(OwnerId::from_bytes(owner.to_bytes()), owner);
    }
}
