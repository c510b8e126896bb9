//! Strange keys through the public API, on the file backend: distinct, and all in the directory.

use std::collections::BTreeSet;
use std::path::Path;

use distlock::{AcquireError, InvalidKey, LockGuard, LockKey, Supervisor};
use tempfile::TempDir;

/// A store whose directory is the only thing in a directory of its own, so that whatever escapes shows.
struct Place {
    around: TempDir,
    locks: Supervisor,
}

impl Place {
    async fn new() -> Self {
        let around = tempfile::tempdir().expect("a temporary directory");
        let url = format!("file://{}/deep/er/locks", around.path().display());
        let locks = distlock::connect(&url).await.expect("the store opens");
        Self { around, locks }
    }

    /// Holds all keys at once, finds each taken, releases every second one, and finds only those free.
    async fn holds_at_once(&self, keys: &[&str]) {
        let mut guards: Vec<Option<LockGuard>> = Vec::new();
        for key in keys {
            let guard = self.locks.lock(*key).try_acquire().await;
            guards.push(Some(guard.unwrap_or_else(|error| panic!("{key:?} should be free: {error}"))));
        }
        for released in guards.iter_mut().step_by(2) {
            let guard = released.take().expect("each is released once");
            guard.release().await.expect("the store answers");
        }
        for (key, guard) in keys.iter().zip(&guards) {
            let again = self.locks.lock(*key).try_acquire().await;
            assert_eq!(again.is_ok(), guard.is_none(), "{key:?}: {again:?}");
        }
        self.nothing_is_outside();
    }

    /// The listing tells the keys as they were written.
    async fn lists(&self, keys: &[&str]) {
        let store = distlock::open(&format!("file://{}", self.directory().display())).await.expect("the store opens");
        let held = store.list("").await.expect("the store answers");
        let told: BTreeSet<_> = held.iter().map(|record| record.key().as_str()).collect();
        assert_eq!(told, keys.iter().copied().collect());
    }

    fn directory(&self) -> std::path::PathBuf {
        self.around.path().join("deep/er/locks")
    }

    #[track_caller]
    fn nothing_is_outside(&self) {
        for (directory, only) in [("", "deep"), ("deep", "er"), ("deep/er", "locks")] {
            assert_eq!(names(&self.around.path().join(directory)), [only]);
        }
        for name in names(&self.directory()) {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte));
            assert!(plain && name.len() <= 255, "a lock's directory is called {name:?}");
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("Unicode")).collect()
}

#[tokio::test]
async fn fault_25_an_empty_key_is_refused() {
    let place = Place::new().await;
    let before = names(&place.directory());
    for attempt in [place.locks.lock("").acquire().await, place.locks.lock(String::new()).try_acquire().await] {
        let error = attempt.expect_err("it is refused");
        assert!(matches!(error, AcquireError::InvalidKey(InvalidKey::Empty)), "{error:?}");
        assert!(error.to_string().contains("must not be empty"), "{error}");
    }
    assert_eq!(names(&place.directory()), before);
}

#[tokio::test]
async fn fault_26_a_key_of_a_mebibyte_is_refused_and_the_longest_is_not() {
    let place = Place::new().await;
    for len in [1 << 20, LockKey::MAX_LEN + 1] {
        let error = place.locks.lock("x".repeat(len)).try_acquire().await.expect_err("it is refused");
        assert!(
            matches!(error, AcquireError::InvalidKey(InvalidKey::TooLong { len: told }) if told == len),
            "{error:?}"
        );
        assert!(error.to_string().contains("1024") && error.to_string().len() < 200, "{error}");
    }
    // Bytes count, not characters; and keys that differ only at their ends stay distinct.
    let (all, less) = ("é".repeat(512), "é".repeat(511));
    let (a, b) = (format!("{less}aa"), format!("{less}bb"));
    place.holds_at_once(&[&all, &less, &a, &b]).await;
}

#[tokio::test]
async fn fault_27_control_characters_and_other_alphabets_are_keys_of_their_own() {
    let keys = [
        "x",
        "x\0",
        "\0x",
        "x\0y",
        "x\n",
        "\nx",
        "x\r\n",
        "x\t",
        " x",
        "x ",
        "é",
        "e\u{301}",
        "日本",
        "🔒",
        "\u{202e}x",
    ];
    let place = Place::new().await;
    place.holds_at_once(&keys).await;
    // The locks taken above and dropped are released in the background.
    assert_eq!(place.locks.shutdown().await.unreleased(), 0);
    let place = Place::new().await;
    let mut guards = Vec::new();
    for key in keys {
        guards.push(place.locks.lock(key).try_acquire().await.expect("it is free"));
    }
    place.lists(&keys).await;
}

#[tokio::test]
async fn fault_28_no_key_leaves_the_directory() {
    let absolute = std::env::temp_dir().join("distlock-must-not-appear");
    let keys = [
        "x",
        "../x",
        "../../x",
        "..",
        ".",
        "./x",
        "/x",
        "x/",
        "a//b",
        "*",
        "?",
        "{}",
        "}x",
        "{x}",
        "%2F",
        "%",
        "%%",
        "x.",
        "x..",
        ".x",
        ".tmp",
        "CON",
        "con.txt",
        "NUL",
        "lpt1",
        "~",
        "~x",
        "-x",
        "$HOME",
        "`x`",
        "\\x",
        "..\\x",
        "C:\\x",
        "x:y",
        "queue",
        "00000000000000000001",
        absolute.to_str().expect("Unicode"),
    ];
    Place::new().await.holds_at_once(&keys).await;
    assert!(!absolute.exists(), "{} was created", absolute.display());
}

#[tokio::test]
async fn fault_29_keys_of_one_family_are_independent() {
    let keys =
        ["a", "a/", "a/b", "a//b", "a/b/c", "a:fence", "a:queue", "a.lock", "a/queue", "a/00000000000000000001", "A"];
    Place::new().await.holds_at_once(&keys).await;
}
