//! From a URL to a store: what works, and what is said when it doesn't.

use std::path::Path;
use std::time::Duration;

use distlock::{AcquireError, ConnectError, ErrorKind, LockKey, MemoryBackend, Supervisor};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn url(directory: &Path, query: &str) -> String {
    format!("file://{}{query}", directory.display())
}

async fn supervisor(directory: &Path, query: &str) -> Supervisor {
    distlock::connect(&url(directory, query)).await.expect("the store opens")
}

/// The error that `connect` gives, and its text.
async fn refused(url: &str) -> (ConnectError, String) {
    let error = distlock::connect(url).await.expect_err("no store has this URL");
    let text = error.to_string();
    (error, text)
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

// What works.

#[tokio::test]
async fn two_supervisors_on_one_directory_exclude_each_other() {
    let directory = directory();
    let (one, two) = (supervisor(directory.path(), "").await, supervisor(directory.path(), "").await);
    let first = one.lock("a").acquire().await.expect("it is free");
    let refusal = two.lock("a").try_acquire().await.expect_err("the other has it");
    let AcquireError::Held(seen) = &refusal else { panic!("{refusal}") };
    assert_eq!(seen.record().pid(), Some(std::process::id()));
    assert_eq!(seen.record().token(), Some(first.fencing_token()));
    let token = first.fencing_token();
    first.release().await.expect("the store answers");
    let second = two.lock("a").acquire().await.expect("it is free again");
    assert!(second.fencing_token() > token);
}

#[tokio::test]
async fn two_directories_are_two_stores() {
    let (one, two) = (directory(), directory());
    let (one, two) = (supervisor(one.path(), "").await, supervisor(two.path(), "").await);
    let _held = one.lock("a").acquire().await.expect("it is free");
    let _also = two.lock("a").try_acquire().await.expect("it is free in the other directory");
}

#[tokio::test]
async fn a_prefix_separates_locks_and_the_same_prefix_does_not() {
    let directory = directory();
    let path = directory.path();
    let whole = supervisor(path, "").await;
    let (blue, also_blue) = (supervisor(path, "?prefix=blue/").await, supervisor(path, "?prefix=blue%2F").await);
    let green = supervisor(path, "?prefix=green/").await;
    let _held = blue.lock("a").acquire().await.expect("it is free");
    for other in [&whole, &green] {
        let _free = other.lock("a").try_acquire().await.expect("it is free under another prefix");
    }
    let refusal = also_blue.lock("a").try_acquire().await.expect_err("the same prefix, the same lock");
    assert!(refusal.contention().is_some(), "{refusal}");
}

#[tokio::test]
async fn a_percent_encoded_directory_is_decoded() {
    let directory = directory();
    let odd = directory.path().join("a b#é%");
    let encoded = format!("file://{}/a%20b%23%C3%A9%25", directory.path().display());
    let _locks = distlock::connect(&encoded).await.expect("the store opens");
    assert!(odd.is_dir(), "{} is missing", odd.display());
}

#[tokio::test]
async fn a_network_file_system_can_be_allowed() {
    let directory = directory();
    let locks = supervisor(directory.path(), "?network=allow").await;
    let _held = locks.lock("a").acquire().await.expect("it is free");
}

#[tokio::test]
async fn a_store_that_was_opened_is_administered_and_locked() {
    let directory = directory();
    let store = distlock::open(&url(directory.path(), "")).await.expect("the store opens");
    let locks = Supervisor::builder(store.clone()).build();
    let guard = locks.lock("a").acquire().await.expect("it is free");
    let held = store.list("").await.expect("the store answers");
    assert_eq!(held.iter().map(|record| record.key().as_str()).collect::<Vec<_>>(), ["a"]);
    let record = store.inspect(&LockKey::new("a").expect("a key")).await.expect("the store answers");
    assert_eq!(record.and_then(|record| record.owner()), Some(guard.owner()));
}

/// How many locks are held under a prefix, or without one.
async fn held(directory: &Path, query: &str) -> usize {
    let store = distlock::open(&url(directory, query)).await.expect("the store opens");
    store.list("").await.expect("the store answers").len()
}

#[tokio::test]
async fn locks_under_a_prefix_are_not_listed_without_it() {
    let directory = directory();
    let locks = supervisor(directory.path(), "?prefix=p").await;
    let _held = locks.lock("a").acquire().await.expect("it is free");
    assert_eq!((held(directory.path(), "").await, held(directory.path(), "?prefix=p").await), (0, 1));
}

#[tokio::test]
async fn a_key_under_a_prefix_that_looks_like_a_generation_does_not_break_the_list() {
    let directory = directory();
    let locks = supervisor(directory.path(), "?prefix=p").await;
    let _held = locks.lock("00000000000000000017").acquire().await.expect("it is free");
    assert_eq!((held(directory.path(), "").await, held(directory.path(), "?prefix=p").await), (0, 1));
}

// What doesn't.

#[tokio::test]
async fn an_unknown_scheme_is_told_the_known_ones() {
    let (error, text) = refused("zookeeper://localhost").await;
    assert!(matches!(&error, ConnectError::UnknownScheme { scheme } if scheme == "zookeeper"), "{error:?}");
    assert_says(&text, &["\"zookeeper:\"", "\"file:\"", "file:///DIRECTORY"]);
}

#[tokio::test]
async fn a_text_that_is_no_url_is_told_what_one_looks_like() {
    for text in ["", "/var/lock", "locks"] {
        let (error, text) = refused(text).await;
        assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{error:?}");
        assert_says(&text, &["\"file:\"", "file:///DIRECTORY"]);
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_told_the_known_ones() {
    let directory = directory();
    let (error, text) = refused(&url(directory.path(), "?prefxi=a")).await;
    assert!(matches!(error, ConnectError::UnknownParameter { .. }), "{error:?}");
    assert_says(&text, &["\"prefxi\"", "\"prefix\"", "\"network\""]);
}

#[tokio::test]
async fn a_bad_value_is_told_with_its_parameter() {
    let directory = directory();
    for (query, parts) in
        [("?network=bad", ["\"network\"", "\"bad\"", "\"allow\""]), ("?prefix=", ["\"prefix\"", "\"\"", ""])]
    {
        let (error, text) = refused(&url(directory.path(), query)).await;
        assert!(matches!(error, ConnectError::InvalidParameter { .. }), "{error:?}");
        assert_says(&text, &parts);
    }
}

#[tokio::test]
async fn a_refused_url_creates_nothing() {
    let directory = directory();
    for query in ["?prefxi=a", "?network=bad", "?prefix="] {
        refused(&url(&directory.path().join("locks"), query)).await;
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 0);
}

#[tokio::test]
async fn a_relative_directory_and_another_host_are_refused() {
    for (url, part) in [("file:relative", "from the root"), ("file:./a", "from the root"), ("file://host/dir", "host")]
    {
        let (error, text) = refused(url).await;
        assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{url}: {error:?}");
        assert_says(&text, &[part, "file:///DIRECTORY"]);
    }
}

#[tokio::test]
async fn a_path_that_is_a_file_is_refused_by_its_name() {
    let directory = directory();
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "mine").expect("a file");
    for path in [file.clone(), file.join("below")] {
        let (error, text) = refused(&url(&path, "")).await;
        assert!(matches!(error, ConnectError::Backend(_)), "{error:?}");
        assert_says(&text, &["notes.txt"]);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "mine");
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    for url in [
        "zookeeper://user:hunter2@host/a",
        "zookeeper:user:hunter2@host",
        "file://user:hunter2@host/dir",
        "file:user:hunter2@host",
        "file:///dir?password=hunter2",
        "hunter2@host",
        "//user:hunter2@host",
        "user:hunter2@host",
    ] {
        let (error, text) = refused(url).await;
        assert!(!text.contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{url}: {text}; {error:?}");
    }
}

#[tokio::test]
async fn a_password_that_stands_where_a_scheme_should_is_not_told() {
    let (_, text) = refused("hunter2@host:6379").await;
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_fragment_is_refused() {
    let directory = directory();
    let (error, _) = refused(&url(directory.path(), "/a#b")).await;
    assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{error:?}");
}

#[tokio::test]
async fn a_url_that_names_no_directory_or_a_parameter_twice_is_refused() {
    let directory = directory();
    for url in ["file://".to_owned(), "file://?prefix=a".to_owned(), url(directory.path(), "?prefix=a&prefix=b")] {
        let (error, text) = refused(&url).await;
        assert!(matches!(error, ConnectError::InvalidUrl { .. }), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_scheme_is_known_in_any_case() {
    let directory = directory();
    distlock::connect(&format!("FILE://{}", directory.path().display())).await.expect("the store opens");
}

#[tokio::test]
async fn a_key_or_ttl_that_cannot_be_is_told_before_anything_is_created() {
    let directory = directory();
    let locks = supervisor(directory.path(), "").await;
    let before = std::fs::read_dir(directory.path()).expect("the directory").count();
    let error = locks.lock("").acquire().await.expect_err("no key");
    assert!(matches!(error, AcquireError::InvalidKey(_)), "{error}");
    let error = locks.lock("a").ttl(Duration::ZERO).acquire().await.expect_err("no TTL");
    assert!(matches!(error, AcquireError::InvalidTtl(_)), "{error}");
    let error = locks.lock("a").ttl(Duration::from_millis(1)).acquire().await.expect_err("too short for this store");
    let AcquireError::Backend(error) = error else { panic!("{error}") };
    assert!(matches!(error.kind(), ErrorKind::TtlOutOfRange { .. }), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), before);
}

// The kit is reached through the facade as well, by whoever turns its feature of lock-core on.

struct Memory(MemoryBackend);

#[distlock::async_trait]
impl distlock::conformance::Harness for Memory {
    async fn client(&self) -> Result<distlock::conformance::Client, distlock::conformance::HarnessError> {
        Ok(distlock::conformance::Client::of(self.0.clone()))
    }
    fn ttl(&self) -> Duration {
        Duration::from_millis(200)
    }
}

distlock::conformance!(kit_through_the_facade: || std::future::ready(Ok::<_, ConnectError>(Memory(MemoryBackend::new()))));
