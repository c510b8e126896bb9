//! System calls for each acquire + release, counted by ptrace(2): no program has to be installed for it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::tempdir;

/// Guards the file backend's fast way: a released record is rewritten and renamed, no file is created, none removed,
/// no directory listed.
#[test]
fn the_file_backend() {
    let per_pair = per_pair("distlock");
    println!("{per_pair} system calls a pair");
    assert!(per_pair <= 13, "{per_pair} system calls a pair");
}

/// What that is to be compared with, and whether it is counted rightly: open, flock, close, and in
/// builds with debug assertions a look at the descriptor before it is closed.
#[test]
fn the_floor() {
    let per_pair = per_pair("flock(2)");
    assert!((3..=4).contains(&per_pair), "{per_pair} system calls a pair");
}

/// What the worker does but once, and what the runtime does now and then, is left out.
fn per_pair(contestant: &str) -> u32 {
    (calls(contestant, 300) - calls(contestant, 100) + 100) / 200
}

/// How many system calls the worker's thread makes from its beginning to its end.
fn calls(contestant: &str, pairs: u32) -> u32 {
    let directory = tempdir().expect("a directory");
    let mut worker = Command::new(env!("CARGO_BIN_EXE_distlock-bench"))
        .args(["worker", "--backend", "file", "--contestant", contestant, "--alone"])
        .args(["--url", &format!("file://{}", directory.path().join("locks").display())])
        .args(["alone", "--pairs", &pairs.to_string(), "--warm", "20"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts");
    let mut answers = BufReader::new(worker.stdout.take().expect("its output"));
    let mut line = String::new();
    answers.read_line(&mut line).expect("its first line");
    assert_eq!(line, "ready\n");
    let count = count(&mut worker);
    answers.read_to_string(&mut line).expect("its answer");
    assert!(line.contains('['), "{line}");
    count
}

/// From "go" to the end. The worker has been reaped then.
fn count(worker: &mut Child) -> u32 {
    let pid = Pid::from_raw(i32::try_from(worker.id()).expect("a process id"));
    let seized = ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD);
    seized.expect("ptrace(2) of a child: containers may forbid it (--cap-add SYS_PTRACE)");
    ptrace::interrupt(pid).expect("it is traced");
    let mut stops = 0;
    let mut told = false;
    loop {
        let signal = match waitpid(pid, None).expect("it is our child") {
            WaitStatus::PtraceSyscall(_) => {
                stops += 1;
                None
            }
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "the worker failed");
                // Each call stops the worker as it begins and as it ends.
                return stops / 2;
            }
            WaitStatus::Signaled(_, signal, _) => panic!("the worker was ended by {signal}"),
            WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..) => None,
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        if !told {
            told = true;
            worker.stdin.as_mut().expect("its input").write_all(b"go\n").expect("it reads");
        }
        ptrace::syscall(pid, signal).expect("it is stopped");
    }
}
