//! The steps that run on the server, each a commented Lua file.

use redis::{Cmd, Script};

use crate::names::LockNames;

/// How long the last token of a lock is remembered: for a week after it was granted, and up to 28 hours more, as this is set
/// once a day. It is needed only if the server's clock goes back, and by less than a week; without an end, keys that are
/// used once would stay for ever.
const LAST_TOKEN_MS: u64 = (7 * 24 + 28) * 3_600_000;

/// What a value of ours begins with: token and owner.
const HOLDER: &str = r#"^{"token":(%d+),"owner":"(%x+)","#;

/// What several steps have in common. A function costs a quarter of a microsecond each time a script that has it runs,
/// so parts stand where they are needed, and not at the top.
const PARTS: &[(&str, &str)] = &[
    ("pass_on", include_str!("scripts/pass_on.lua")),
    ("hand_on", include_str!("scripts/hand_on.lua")),
    ("time", include_str!("scripts/time.lua")),
    ("remember", include_str!("scripts/remember.lua")),
    ("after_last", include_str!("scripts/after_last.lua")),
];

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    script: Script,
    source: String,
    /// How many of a lock's keys it needs: the lock, the last token, the queue.
    keys: usize,
}

/// All steps, for one kind of server.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) acquire: Step,
    pub(crate) renew: Step,
    pub(crate) release: Step,
    pub(crate) look: Step,
    pub(crate) break_lock: Step,
}

impl Scripts {
    /// `publish` is the command that wakes a waiter: `PUBLISH`, in a cluster `SPUBLISH`.
    pub(crate) fn new(publish: &str) -> Self {
        // The time is a text: to print a number costs the server as much as a small command.
        let constants = format!("local LAST_TOKEN_MS, PUBLISH, HOLDER = '{LAST_TOKEN_MS}', '{publish}', '{HOLDER}'\n");
        let step = |text: &str| {
            let source = PARTS.iter().fold(constants.clone() + text, |source, (name, part)| {
                source.replace(&format!("--include {name}"), part)
            });
            Step { script: Script::new(&source), source, keys: 3 }
        };
        Self {
            acquire: step(include_str!("scripts/acquire.lua")),
            // While a slot moves, a step whose keys aren't all in one place is refused, and most locks have no queue.
            renew: Step { keys: 1, ..step(include_str!("scripts/renew.lua")) },
            release: step(include_str!("scripts/release.lua")),
            look: step(include_str!("scripts/look.lua")),
            break_lock: step(include_str!("scripts/break.lua")),
        }
    }
}

impl Step {
    /// The call by the script's hash: what is sent nearly always.
    pub(crate) fn by_hash(&self, names: &LockNames, arguments: &[&[u8]]) -> Cmd {
        self.call("EVALSHA", self.script.get_hash(), names, arguments)
    }

    #[cfg(feature = "fuzzing")]
    pub(crate) fn text(&self) -> &str {
        &self.source
    }

    /// The call with the script's text, after the server said that it doesn't know the hash.
    pub(crate) fn by_text(&self, names: &LockNames, arguments: &[&[u8]]) -> Cmd {
        self.call("EVAL", &self.source, names, arguments)
    }

    fn call(&self, verb: &str, script: &str, names: &LockNames, arguments: &[&[u8]]) -> Cmd {
        let keys = &[&names.lock, &names.last, &names.queue][..self.keys];
        let bytes =
            keys.iter().map(|key| key.len()).chain(arguments.iter().map(|argument| argument.len())).sum::<usize>();
        // All at once: grown bit by bit, a command is copied half a dozen times.
        let mut command = Cmd::with_capacity(3 + keys.len() + arguments.len(), verb.len() + script.len() + 1 + bytes);
        command.arg(verb).arg(script).arg(self.keys);
        for key in keys {
            command.arg(key);
        }
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}
