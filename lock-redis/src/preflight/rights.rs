//! Whether this user may do all that locks need, and what to allow if not.
//!
//! Each command is sent by itself: one that a script may not run isn't named by Redis 7.0, and some are needed only when
//! somebody waits, which the check shouldn't find out by waiting.

use lock_core::{Finding, LockKey, Operation, OwnerId, Severity};
use redis::{Cmd, Value, cmd, pipe};

use super::failed;
use crate::error::Failure;
use crate::link::Link;
use crate::names::LockNames;
use crate::shared::Shared;

const CHECK: &str = "rights";

/// What isn't allowed: commands, keys, channels.
#[derive(Debug, Default)]
struct Missing {
    commands: Vec<&'static str>,
    keys: bool,
    channels: bool,
}

pub(super) async fn check(master: &Link, shared: &Shared) -> Finding {
    let names = shared.names.of(&LockKey::new(format!("distlock-check-{}", OwnerId::mint())).expect("a short key"));
    let trials = trials(shared, &names);
    let mut commands = pipe();
    for (_, command) in &trials {
        commands.add_command(command.clone());
    }
    let answers = match master.send_each(&commands, master.limit()).await {
        Ok(answers) => answers,
        Err(failure) => return failed(CHECK, &failure.during(Operation::Preflight)),
    };
    let mut missing = Missing::default();
    for ((name, _), answer) in trials.iter().zip(answers) {
        missing.note(name, answer);
    }
    if missing.commands.is_empty() && !missing.keys && !missing.channels {
        return Finding::good(CHECK, format!("{} lets this user do all that locks need", master.shown()));
    }
    Finding::new(
        Severity::Denied,
        CHECK,
        format!("{} doesn't let this user {}", master.shown(), missing.shown()),
        "locks need all of it, if not always: a renewal or a hand-off would fail one day",
        format!("allow it: `ACL SETUSER USER {}`", missing.rule(&shared.names.pattern())),
    )
}

/// Each command that locks need, in a form that changes nothing, or is undone by those after it.
fn trials(shared: &Shared, names: &LockNames) -> Vec<(&'static str, Cmd)> {
    let LockNames { lock, last, queue } = names;
    let channel = shared.names.channel();
    let mut all = vec![
        ("evalsha", cmd("EVALSHA").arg("0".repeat(40)).arg(0).take()),
        ("eval", cmd("EVAL").arg("return 1").arg(0).take()),
        ("get", cmd("GET").arg(lock).take()),
        ("getrange", cmd("GETRANGE").arg(lock).arg(0).arg(0).take()),
        ("set", cmd("SET").arg(last).arg(0).arg("XX").take()),
        ("exists", cmd("EXISTS").arg(queue).take()),
        ("time", cmd("TIME")),
        ("pttl", cmd("PTTL").arg(lock).take()),
        ("rpush", cmd("RPUSH").arg(queue).arg(0).take()),
        ("pexpire", cmd("PEXPIRE").arg(queue).arg(1_000).take()),
        ("llen", cmd("LLEN").arg(queue).take()),
        ("lpos", cmd("LPOS").arg(queue).arg(0).take()),
        ("lrem", cmd("LREM").arg(queue).arg(0).arg(0).take()),
        ("lpop", cmd("LPOP").arg(queue).take()),
        ("del", cmd("DEL").arg(queue).take()),
        ("scan", cmd("SCAN").arg(0).arg("COUNT").arg(1).take()),
        // A break is told so, in a cluster as well.
        ("publish", cmd("PUBLISH").arg(channel).arg("").take()),
    ];
    if shared.topology.publishes_with() == "SPUBLISH" {
        let channel = shared.names.shard_channel(names);
        all.push(("spublish", cmd("SPUBLISH").arg(&channel).arg("").take()));
        all.push(("asking", cmd("ASKING")));
    }
    if shared.replication.is_some() {
        all.push(("wait", cmd("WAIT").arg(0).arg(1).take()));
    }
    all
}

impl Missing {
    /// Other errors are none of this check's: in a cluster most of the answers are that another node has the key.
    fn note(&mut self, name: &'static str, answer: Result<Value, Failure>) {
        let Err(failure) = answer else { return };
        let detail = failure.detail().unwrap_or_default();
        if failure.code() != Some("NOPERM") {
            return;
        }
        if detail.contains("command") {
            self.commands.push(name);
        } else if detail.contains("channel") {
            self.channels = true;
        } else {
            self.keys = true;
        }
    }

    fn shown(&self) -> String {
        let mut parts = Vec::new();
        if !self.commands.is_empty() {
            parts.push(format!("run {}", self.commands.join(", ")));
        }
        if self.keys {
            parts.push("use the locks' keys".to_owned());
        }
        if self.channels {
            parts.push("use the locks' channels".to_owned());
        }
        parts.join(", nor ")
    }

    fn rule(&self, pattern: &str) -> String {
        let mut words: Vec<_> = self.commands.iter().map(|command| format!("+{command}")).collect();
        if self.keys {
            words.push(format!("~{pattern} ~{{{pattern}"));
        }
        if self.channels {
            words.push(format!("&{pattern} &{{{pattern}"));
        }
        words.join(" ")
    }
}
