//! Every example, run as a process of its own.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use distlock::{BreakOutcome, LockKey};
use support::{Running, example, run};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Takes a lock away, as `distlock break` would.
async fn take_away(directory: &Path, key: &str) {
    let store = distlock::open(&format!("file://{}", directory.display())).await.expect("the store opens");
    let outcome = store.break_lock(&LockKey::new(key).expect("a key"), None).await.expect("the store answers");
    assert!(matches!(outcome, BreakOutcome::Broken(_)), "{outcome:?}");
}

/// What every example's source promises: a head comment that says how to run it.
#[test]
fn every_example_says_how_to_run_it_and_is_tested_here() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = std::fs::read_to_string(here.join("tests/examples.rs")).expect("this file");
    for entry in std::fs::read_dir(here.join("examples")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // One that needs a server has a directory, and a test of its own name.
        if path.is_dir() {
            let source = std::fs::read_to_string(path.join("main.rs")).expect("the example's source");
            assert!(source.contains(&format!("--example {name}")), "{name} doesn't say how to run it");
            let test = std::fs::read_to_string(here.join(format!("tests/{name}.rs"))).expect("the example's test");
            assert!(test.contains(&format!("example(\"{name}\"")), "no test runs {name}");
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("the example's source");
        let head: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(head.contains("cargo run") && head.contains(&format!("--example {name}")), "{name}: {head}");
        assert!(tests.contains(&format!("example(\"{name}\"")), "no test here runs {name}");
    }
}

#[test]
fn nightly_job_runs_once_however_many_workers_start_it_and_whenever() {
    let directory = directory();
    is_done_once(|| {
        let mut command = example("nightly_job", directory.path());
        command.arg(directory.path().join("results"));
        command
    });
}

/// What the example is about: hosts that share a server.
#[cfg(feature = "redis")]
#[test]
fn nightly_job_runs_once_for_workers_that_share_a_redis_server() {
    let (directory, server) = (directory(), testbed::redis::RedisServer::start(&[]).expect("redis-server runs"));
    is_done_once(|| {
        let mut command = example("nightly_job", directory.path());
        command.arg(directory.path().join("results")).arg(server.url());
        command
    });
    let last = server.command(&["GET", "{distlock:jobs%2Fnightly}:last"]).expect("the server answers");
    assert!(last.parse::<u64>().is_ok(), "nobody took the lock there: {last:?}");
}

/// Two workers at once, and a third that comes when all is over: the job is done once.
fn is_done_once(worker: impl Fn() -> std::process::Command) {
    let (first, second) = (Running::start(&mut worker()), Running::start(&mut worker()));
    let mut said = vec![first.finish().ended_with(0).stdout, second.finish().ended_with(0).stdout];
    said.push(run(&mut worker()).ended_with(0).stdout);
    let did = said.iter().filter(|said| said.contains("is done, with token")).count();
    let skipped = said.iter().filter(|said| said.contains("is done already")).count();
    assert_eq!((did, skipped), (1, 2), "{said:?}");
}

#[test]
fn simulated_loss_loses_a_deposit_without_fencing_and_none_with_it() {
    let directory = directory();
    let finished = run(&mut example("simulated_loss", directory.path())).ended_with(0);
    assert!(finished.stdout.contains("Without fencing a deposit is lost"), "{}", finished.stdout);
    assert!(finished.stdout.contains("With fencing no deposit is lost"), "{}", finished.stdout);
    assert!(finished.stderr.contains("deposits are lost"), "{}", finished.stderr);
}

#[test]
fn quickstart_prints_its_token_and_a_second_run_has_a_greater_one() {
    let directory = directory();
    let token = || -> u64 {
        let finished = run(&mut example("quickstart", directory.path())).ended_with(0);
        assert_eq!(finished.stderr, "");
        let (_, rest) = finished.stdout.split_once("with token ").expect("a token is printed");
        assert!(rest.contains("is done"), "{}", finished.stdout);
        rest.lines().next().and_then(|number| number.parse().ok()).expect("the token is a number")
    };
    let first = token();
    assert!(token() > first);
}

#[tokio::test]
async fn quickstart_stops_and_says_why_when_its_lock_is_taken_away() {
    let directory = directory();
    let mut quickstart = Running::start(&mut example("quickstart", directory.path()));
    quickstart.line_with("with token");
    take_away(directory.path(), "reports/nightly").await;
    let finished = quickstart.finish().ended_with(1);
    assert!(finished.stderr.contains("the lock \"reports/nightly\""), "{}", finished.stderr);
    assert!(finished.stderr.contains("was lost"), "{}", finished.stderr);
    assert!(!finished.stdout.contains("is done"), "{}", finished.stdout);
}

#[test]
fn quickstart_says_which_stores_there_are_when_its_url_names_none() {
    let directory = directory();
    let finished = run(example("quickstart", directory.path()).env("DISTLOCK_URL", "zookeeper://host")).ended_with(1);
    assert!(finished.stderr.contains("\"zookeeper:\""), "{}", finished.stderr);
    assert!(finished.stderr.contains("\"file:\""), "{}", finished.stderr);
}

#[test]
fn a_second_instance_is_refused_until_the_first_is_killed() {
    let directory = directory();
    let mut first = Running::start(&mut example("single_instance", directory.path()));
    first.line_with("serving on 127.0.0.1:");

    let second = run(&mut example("single_instance", directory.path())).ended_with(75);
    let (pid, where_to) = (first.pid(), directory.path().display());
    for part in [
        format!("already running: pid {pid} (single_instance"),
        format!("its lock is in   {where_to}\n"),
        format!("kill {pid}\n"),
        "since 20".to_owned(),
        "DISTLOCK_DIR=".to_owned(),
        "distlock break --if-token ".to_owned(),
        " examples/single-instance\n".to_owned(),
    ] {
        assert!(second.stderr.contains(&part), "{part:?} is missing in:\n{}", second.stderr);
    }

    // Nobody cleans up, and the next start doesn't wait for the TTL either.
    first.kill();
    let mut third = Running::start(&mut example("single_instance", directory.path()));
    third.line_with("serving on 127.0.0.1:");
}

#[test]
fn an_instance_with_another_directory_runs_beside_the_first() {
    let (one, two) = (directory(), directory());
    let mut both = [&one, &two].map(|directory| Running::start(&mut example("single_instance", directory.path())));
    for instance in &mut both {
        instance.line_with("serving on 127.0.0.1:");
    }
}

#[tokio::test]
async fn an_instance_whose_lock_is_taken_away_closes_its_connections_and_ends() {
    let directory = directory();
    let mut server = Running::start(&mut example("single_instance", directory.path()));
    let line = server.line_with("serving on ");
    let address = line.split(' ').nth(2).expect("an address");

    let mut client = TcpStream::connect(address).expect("it serves");
    client.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    client.write_all(b"hello").expect("it reads");
    let mut echo = [0; 5];
    client.read_exact(&mut echo).expect("it echoes");
    assert_eq!(&echo, b"hello");

    take_away(directory.path(), "examples/single-instance").await;
    let end = client.read(&mut echo);
    assert!(!matches!(end, Ok(1..)), "the connection should be closed: {end:?}");
    let finished = server.finish().ended_with(79);
    assert!(finished.stderr.contains("stopped serving"), "{}", finished.stderr);
    assert!(finished.stderr.contains("was lost"), "{}", finished.stderr);
}

#[cfg(unix)]
#[test]
fn an_interrupted_instance_releases_its_lock() {
    let directory = directory();
    let mut server = Running::start(&mut example("single_instance", directory.path()));
    server.line_with("serving on ");
    let sent = std::process::Command::new("kill").args(["-INT", &server.pid().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -INT works");
    let finished = server.finish().ended_with(0);
    assert!(finished.stdout.contains("the lock is free"), "{}", finished.stdout);
}

#[test]
fn a_paused_holders_write_is_refused() {
    let directory = directory();
    let finished = run(&mut example("fenced_writes", directory.path())).ended_with(0);
    let lines: Vec<_> = finished.stdout.lines().collect();
    let expected = [
        "A  holds the lock with token ",
        "B  is granted the lock with token ",
        "B  writes: accepted",
        "A  wakes up and writes: refused a write with token ",
        "A  asks again (is_held: false)",
        "the document says \"written by B\"",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line:?} should begin with {expected:?}");
    }
}

#[test]
fn a_custom_backend_works_under_the_supervisor() {
    let directory = directory();
    let finished = run(&mut example("custom_backend", directory.path())).ended_with(0);
    assert_eq!(finished.stdout, "the first holds token 1\nthe second holds token 2\n");
    assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 0, "it needs no directory");
}
