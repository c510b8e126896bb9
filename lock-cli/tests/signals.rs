//! Signals: passed on to the command, and never lost before there is one.

mod support;

use std::io::BufRead;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use support::{Place, Running, eventually, lives};

const ALL: [(&str, Signal, i32); 6] = [
    ("TERM", Signal::TERM, 15),
    ("INT", Signal::INT, 2),
    ("HUP", Signal::HUP, 1),
    ("QUIT", Signal::QUIT, 3),
    ("USR1", Signal::USR1, 10),
    ("USR2", Signal::USR2, 12),
];

#[test]
fn each_signal_is_passed_on_to_the_whole_group() {
    for (name, signal, _) in ALL {
        let place = Place::new();
        let mark = place.mark("grandchild");
        let script = format!(
            // The shell heeds its trap when its child has heeded the child's own.
            "trap 'exit 42' {name}; \
             sh -c \"trap 'echo heard > {0}; exit' {name}; echo; while :; do sleep 0.02; done\"",
            mark.display()
        );
        let running = place.hold("k", &[], &script);
        running.signal(signal);
        let (code, said) = running.end();
        assert_eq!(code, Some(42), "{name}: {said}");
        eventually("the grandchild hears it", || mark.exists());
        assert!(place.is_free("k"), "{name}");
    }
}

#[test]
fn fault_64_a_signal_while_waiting_leaves_nothing() {
    for (name, signal, number) in ALL {
        let place = Place::new();
        let holder = place.hold("k", &[], "echo; exec sleep 1000");
        let mut command = place.distlock(["run", "k", "--", "touch"]);
        let waiting = command.arg(place.mark("ran")).env("DISTLOCK_LOG", "debug").stderr(Stdio::piped());
        let mut waiting = waiting.spawn().unwrap();
        // It waits once it has a place in the store's queue.
        eventually("it waits", || queue(&place) == 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&waiting), signal).unwrap();
        assert_eq!(waiting.wait().unwrap().code(), Some(128 + number), "{name}");
        assert_eq!(queue(&place), 0, "{name}: its place in the queue is left");
        drop(holder);
        eventually("the lock is free", || place.is_free("k"));
        assert!(!place.mark("ran").exists());
    }
}

#[test]
fn a_signal_between_grant_and_start_is_not_lost() {
    for _ in 0..10 {
        let place = Place::new();
        let mut holder = place.hold("k", &[], "echo; exec sleep 1000");
        let mut waiting = place.distlock(["run", "k", "--", "touch"]).arg(place.mark("ran")).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&waiting);
        eventually("it waits", || queue(&place) == 1);
        // When it goes on, both are there at once: the lock, and the signal.
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        holder.child.kill().unwrap();
        holder.child.wait().unwrap();
        eventually("the lock is free", || place.is_free("k"));
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        rustix::process::kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(waiting.wait().unwrap().code(), Some(143));
        assert!(!place.mark("ran").exists());
        assert!(place.is_free("k"));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_is_ignored_stays_ignored() {
    // As under nohup.
    let place = Place::new();
    let distlock = place.distlock([""; 0]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" run k -- sh -c 'echo; read x; exit 3'"]).arg(distlock.get_program());
    command.envs(distlock.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::piped());
    let mut running = Running::start(command);
    running.signal(Signal::HUP);
    drop(running.child.stdin.take());
    assert_eq!(running.end().0, Some(3));
}

/// As systemd does it, and a terminal: the command may end before distlock heeds its own signal.
#[test]
fn a_signal_to_the_command_and_to_distlock_at_once_lets_the_lock_go() {
    let place = Place::new();
    for round in 0..20 {
        // The next run acquires at once, or ends with 75.
        let running = place.hold("k", &["--no-wait"], "echo $$; exec sleep 1000");
        let command = rustix::process::Pid::from_raw(running.line.parse().unwrap()).unwrap();
        // While it doesn't run, both come to be pending: the signal and the command's end.
        running.signal(Signal::STOP);
        rustix::process::kill_process(command, Signal::TERM).unwrap();
        eventually("the command ends", || !lives(&running.line));
        running.signal(Signal::TERM);
        running.signal(Signal::CONT);
        let (code, said) = running.end();
        assert_eq!((code, said.as_str()), (Some(143), ""), "round {round}");
    }
    assert!(place.is_free("k"));
}

#[test]
fn the_command_hears_a_signal_again_and_again() {
    let place = Place::new();
    let mut running =
        place.hold("k", &[], "trap 'echo one' USR1; trap 'exit 7' TERM; echo; while :; do sleep 0.02; done");
    for _ in 0..3 {
        running.signal(Signal::USR1);
        let mut line = String::new();
        running.stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(7));
}

/// How many places there are in the queue of the lock `k`.
fn queue(place: &Place) -> usize {
    let queue = place.locks().join("k/queue");
    std::fs::read_dir(queue).map_or(0, Iterator::count)
}
