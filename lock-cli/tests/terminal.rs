//! At a terminal the command has it, as if it had been started without `distlock`.
#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::{Place, eventually};

/// A shell in a session of its own on a terminal of its own, and everything that is shown there.
struct Terminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// `setsid --ctty` gives the script the terminal, as a login does.
    fn run(place: &Place, script: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || -> OwnedFd {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty()).unwrap()
        };
        let distlock = place.distlock([""; 0]);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_distlock"));
        command.envs(distlock.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::from(slave())).stdout(Stdio::from(slave())).stderr(Stdio::from(slave()));
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut reader, seen) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, master, shown }
    }

    fn shows(&self, text: &str) {
        eventually(text, || self.shown.lock().unwrap().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_command_reads_the_terminal_and_we_have_it_back() {
    let place = Place::new();
    let script = "\"$0\" run k -- sh -c 'echo ready; read x; echo got-$x'; read y; echo after-$y";
    let mut terminal = Terminal::run(&place, script);
    terminal.shows("ready");
    terminal.types("one\n");
    terminal.shows("got-one");
    terminal.types("two\n");
    terminal.shows("after-two");
}

#[test]
fn the_command_has_the_terminal_from_the_start() {
    // Progress bars ask for that, and never read: the group and the terminal's foreground group.
    let place = Place::new();
    let script = "\"$0\" run k -- sh -c 'set -- $(cat /proc/$$/stat); echo foreground-$(($5 == $8))'";
    Terminal::run(&place, script).shows("foreground-1");
}

#[test]
fn ctrl_c_reaches_the_command() {
    let place = Place::new();
    let script = "trap : INT; \"$0\" run k -- sh -c 'trap \"exit 9\" INT; echo ready; while :; do sleep 0.02; done'; \
                  echo code-$?";
    let mut terminal = Terminal::run(&place, script);
    terminal.shows("ready");
    terminal.types("\u{3}");
    terminal.shows("code-9");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_continues_it() {
    let place = Place::new();
    // A shell with job control, as people have it.
    let script = "set -m; \"$0\" run k -- sh -c 'echo ready; read x; echo got-$x'; echo stopped-$?; fg; echo code-$?";
    let mut terminal = Terminal::run(&place, script);
    terminal.shows("ready");
    terminal.types("\u{1a}");
    terminal.shows("stopped-1");
    terminal.types("one\n");
    terminal.shows("got-one");
    terminal.shows("code-0");
}

#[test]
fn who_waits_at_a_terminal_is_told_for_whom() {
    let place = Place::new();
    let held = place.hold("k", &[], "echo; exec sleep 1000");
    let terminal = Terminal::run(&place, "exec \"$0\" run k -- echo done");
    terminal.shows(&format!("waiting: \"k\" is held by pid {}", held.pid()));
    drop(held);
    terminal.shows("done");
}
