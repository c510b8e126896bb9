//! `distlock` itself is killed: the command must not run on without its lock.
#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use support::{Place, Running, eventually, line_in, lives};

fn comm(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn fault_71_the_command_dies_with_a_killed_distlock() {
    let place = Place::new();
    let running = place.hold("k", &[], "echo $$; exec sleep 1000");
    let command = running.line.clone();
    running.signal(Signal::KILL);
    eventually("the command dies", || !lives(&command));
    eventually("the lock is free", || place.is_free("k"));
}

#[test]
fn fault_71_what_the_command_started_dies_as_well() {
    let place = Place::new();
    let running = place.hold("k", &[], "trap '' TERM; sleep 1000 & echo $!; wait");
    let grandchild = running.line.clone();
    running.signal(Signal::KILL);
    eventually("the grandchild dies", || !lives(&grandchild));
}

#[test]
fn fault_71_the_kernel_sees_to_it_without_the_guardian() {
    // A shell in distlock's place, which sets no guardian.
    let place = Place::new();
    let mark = place.mark("pid");
    let script = format!(
        "{} __start $$ 0 background sleep 1000 & echo $! > {}; wait",
        env!("CARGO_BIN_EXE_distlock"),
        mark.display()
    );
    let mut shell = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let command = line_in(&mark);
    eventually("it has become the command", || comm(&command) == "sleep\n");
    shell.kill().unwrap();
    shell.wait().unwrap();
    eventually("the command dies", || !lives(&command));
}

#[test]
fn fault_71_a_distlock_that_died_before_the_command_began() {
    let place = Place::new();
    let mark = place.mark("ran");
    // Its parent is this test, and not process 1, which it was started by as far as it knows.
    let mut orphan = Command::new(env!("CARGO_BIN_EXE_distlock"));
    let status = orphan.args(["__start", "1", "0", "background", "touch"]).arg(&mark).status().unwrap();
    assert_eq!(status.code(), Some(79));
    assert!(!mark.exists());
}

#[test]
fn the_guardian_outlives_what_is_meant_for_distlocks_group() {
    let place = Place::new();
    // distlock leads a group of its own here, and all of that is killed.
    let mut command = place.distlock(["run", "k", "--", "sh", "-c", "sleep 1000 & echo $!; wait"]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let running = Running::start(command);
    let grandchild = running.line.clone();
    rustix::process::kill_process_group(running.pid(), Signal::KILL).unwrap();
    eventually("the grandchild dies", || !lives(&grandchild));
}

#[test]
fn the_guardian_leaves_daemons_alone_when_all_went_well() {
    let place = Place::new();
    let running = place.hold("k", &[], "sleep 1000 > /dev/null 2>&1 & echo $!");
    let daemon = running.line.clone();
    assert_eq!(running.end().0, Some(0));
    assert!(lives(&daemon));
    kill_process(Pid::from_raw(daemon.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}
