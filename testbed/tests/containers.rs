//! Servers in containers: started from the images that the environment names, reached, frozen, and removed.
//!
//! Without an engine or an image these tests fail, and say what to do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::container::Container;

/// In the process that a test starts of itself and kills.
const CHILD: &str = "DISTLOCK_TEST_CHILD";

/// The beginning of what the server answers to `request`, within `patience`.
fn ask(container: &Container, request: &str, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect(container.address()).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn redis_answers_is_frozen_and_goes_on() {
    let redis = Container::redis().unwrap();
    assert_eq!(ask(&redis, "PING\r\n", LONG).as_deref(), Some("+PONG\r\n"));
    redis.pause().unwrap();
    assert_eq!(ask(&redis, "PING\r\n", Duration::from_millis(300)), None);
    redis.go_on().unwrap();
    assert_eq!(ask(&redis, "PING\r\n", LONG).as_deref(), Some("+PONG\r\n"));
}

#[test]
fn etcd_answers() {
    let etcd = Container::etcd().unwrap();
    let answer = ask(&etcd, &get("/health"), LONG).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn consul_answers() {
    let consul = Container::consul().unwrap();
    let answer = ask(&consul, &get("/v1/status/leader"), LONG).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_container_goes_with_its_value_even_when_frozen() {
    let redis = Container::redis().unwrap();
    redis.pause().unwrap();
    let id = redis.id().to_owned();
    assert!(exists(&id));
    drop(redis);
    assert!(!exists(&id));
}

/// Values in a `static` are never dropped, and a killed process drops nothing.
#[test]
fn a_container_goes_with_its_process_even_when_that_is_killed() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_holds_a_container", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let id = lines.find_map(|line| line.split_once("container ").map(|(_, id)| id.to_owned()));
    let id = id.expect("the child tells its container");
    assert!(exists(&id));
    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + LONG;
    while exists(&id) {
        assert!(Instant::now() < end, "the container {id} has outlived its process");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "not a test of its own: started by a_container_goes_with_its_process_even_when_that_is_killed"]
fn child_that_holds_a_container() {
    if std::env::var_os(CHILD).is_some() {
        println!("container {}", Box::leak(Box::new(Container::redis().unwrap())).id());
        std::thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn a_missing_image_is_an_error_that_says_what_to_do() {
    // In a process of its own: the environment is everybody's.
    let answer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_without_an_image", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .env("DISTLOCK_REDIS_IMAGE", "localhost:1/no-such-image:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    for part in ["docker pull localhost:1/no-such-image:1", "cargo xtask images"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
#[ignore = "not a test of its own: started by a_missing_image_is_an_error_that_says_what_to_do"]
fn child_without_an_image() {
    if std::env::var_os(CHILD).is_some() {
        println!("{:#}", Container::redis().unwrap_err());
    }
}

fn exists(id: &str) -> bool {
    let mut command = Command::new("docker");
    let command = command.args(["container", "inspect", id]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}
