//! The lock is lost, or held for long enough, while the command runs.

mod support;

use std::time::Duration;

use support::{Place, eventually, line_in, lives};

/// Says its process id when it is ready, and goes on until it is told otherwise.
const OBEYS: &str = "echo $$; while :; do sleep 0.02; done";
/// The same, and doesn't care.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.02; done";

#[test]
fn fault_65_a_lost_lock_stops_the_command_with_term() {
    let place = Place::new();
    let script = format!("trap 'echo term > {}; exit 0' TERM; {OBEYS}", place.mark("term").display());
    let running = place.hold("k", &["--ttl", "300ms"], &script);
    assert_eq!(place.code(&["break", "k"]), 0);
    let (code, said) = running.end();
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("the lock \"k\"") && said.contains("was lost"), "{said}");
    assert_eq!(line_in(&place.mark("term")), "term");
}

#[test]
fn fault_66_a_command_that_ignores_term_is_killed() {
    let place = Place::new();
    let running = place.hold("k", &["--ttl", "300ms", "--kill-after", "100ms"], STUBBORN);
    let pid = running.line.clone();
    assert_eq!(place.code(&["break", "k"]), 0);
    let (code, said) = running.end();
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("did not stop within 100ms"), "{said}");
    assert!(!lives(&pid));
}

#[test]
fn fault_67_a_grandchild_that_ignores_term_dies_although_its_parent_has_gone() {
    let place = Place::new();
    // The leader obeys TERM at once; what it started doesn't.
    let mark = place.mark("grandchild");
    let script =
        format!("sh -c \"trap '' TERM; echo \\$\\$ > {0}; while :; do sleep 0.02; done\" & {OBEYS}", mark.display());
    let running = place.hold("k", &["--ttl", "300ms", "--kill-after", "300ms"], &script);
    let (leader, grandchild) = (running.line.clone(), line_in(&mark));
    assert_eq!(place.code(&["break", "k"]), 0);
    assert_eq!(running.end().0, Some(79));
    assert!(!lives(&leader) && !lives(&grandchild));
}

#[test]
fn fault_65_a_stopped_command_hears_of_the_loss() {
    let place = Place::new();
    let running = place.hold("k", &["--ttl", "300ms", "--kill-after", "1h"], "echo $$; kill -STOP $$; sleep 1000");
    assert_eq!(place.code(&["break", "k"]), 0);
    assert_eq!(running.end().0, Some(79));
}

#[test]
fn fault_65_a_command_that_ends_after_an_unnoticed_loss_is_no_success() {
    let place = Place::new();
    let go = place.mark("go");
    let script = format!("echo; until test -e {}; do sleep 0.01; done", go.display());
    // The next renewal is far away: the loss shows at the release.
    let running = place.hold("k", &["--ttl", "1h"], &script);
    assert_eq!(place.code(&["break", "k"]), 0);
    std::fs::write(go, "").unwrap();
    let (code, said) = running.end();
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("before the command ended"), "{said}");
}

/// Whoever renews may hang in the store's file system. That must not be the thread that stops the
/// command: only it can, since the command is to die with the thread that started it.
#[test]
#[cfg(target_os = "linux")]
fn renewals_have_a_thread_of_their_own() {
    let place = Place::new();
    let running = place.hold("k", &[], OBEYS);
    // A thread names itself once it runs.
    eventually("there is a thread for renewals", || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", running.child.id())).unwrap();
        let name =
            |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.unwrap().path().join("comm"));
        // The kernel keeps 15 bytes of a name.
        tasks.map(name).any(|name| name.is_ok_and(|name| name == "distlock-heartb\n"))
    });
}

#[test]
fn fault_72_max_hold_stops_the_command_and_releases() {
    let place = Place::new();
    let running = place.hold("k", &["--max-hold", "200ms"], OBEYS);
    let (code, said) = running.end();
    assert_eq!(code, Some(79), "{said}");
    assert!(said.contains("--max-hold 200ms"), "{said}");
    assert!(place.is_free("k"));
}

#[test]
fn fault_72_the_lock_is_kept_until_the_command_has_stopped() {
    let place = Place::new();
    let options = ["--max-hold", "50ms", "--ttl", "300ms", "--kill-after", "2s"];
    let running = place.hold("k", &options, STUBBORN);
    let pid = running.line.clone();
    // Several TTLs long it doesn't stop, and nobody else gets in.
    let mut refusals = 0;
    loop {
        let code = place.code(&["run", "--no-wait", "k", "--", "true"]);
        if code == 0 {
            assert!(!lives(&pid), "someone else was let in while it ran");
            break;
        }
        assert_eq!(code, 75);
        refusals += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(refusals > 0);
    assert_eq!(running.end().0, Some(79));
}
