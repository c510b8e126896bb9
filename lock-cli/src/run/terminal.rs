//! The terminal: the command has it as if it had been started without `distlock`.

use std::fs::File;
use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal, getpgrp, kill_current_process_group};
use rustix::stdio::stdin;
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};

use super::group::Group;

/// Whether stdin is a terminal whose foreground is this process's group.
pub(super) fn is_ours() -> bool {
    isatty(stdin()) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

/// Gives the terminal at stdin to a group.
pub(super) fn give_to(group: Pid) {
    set_foreground(stdin(), group);
}

/// Takes the terminal back, if the command's group has it.
pub(super) fn take_back_from(group: Pid) {
    if let Ok(terminal) = controlling() {
        take_back(&terminal, group);
    }
}

/// The command was stopped: by Ctrl-Z, or because it wants the terminal and hasn't got it.
///
/// Then this process's whole job stops, so that the shell gets its prompt back; and goes on, when
/// the shell says so. The lock isn't renewed meanwhile: a job that is stopped for longer than its
/// TTL loses it, and `may_go_on` is asked before the command runs on.
pub(super) fn stopped(group: &Group, by: Signal, may_go_on: impl FnOnce() -> bool) {
    let wants_terminal = by == Signal::TTIN || by == Signal::TTOU;
    if by != Signal::TSTP && !wants_terminal {
        // Somebody stopped it on purpose, by hand, and will let it go on.
        return;
    }
    let Ok(terminal) = controlling() else { return };
    let is_ours = |terminal: &File| tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp());
    if !(wants_terminal && is_ours(&terminal)) {
        take_back(&terminal, group.id());
        // Comes back when the job is continued; at once where no shell could do that.
        let _ = kill_current_process_group(Signal::TSTP);
    }
    if is_ours(&terminal) {
        set_foreground(&terminal, group.id());
    }
    if may_go_on() {
        group.send(Signal::CONT);
    }
}

fn controlling() -> std::io::Result<File> {
    File::open("/dev/tty")
}

fn take_back(terminal: &File, group: Pid) {
    if tcgetpgrp(terminal).is_ok_and(|foreground| foreground == group) {
        set_foreground(terminal, getpgrp());
    }
}

/// Who isn't in the foreground is stopped for changing it, unless the signal is blocked.
fn set_foreground(terminal: impl AsFd, group: Pid) {
    let mut stop = SigSet::empty();
    stop.add(NixSignal::SIGTTOU);
    let _ = stop.thread_block();
    let _ = tcsetpgrp(terminal, group);
    let _ = stop.thread_unblock();
}
