//! What there is at one moment: the files of one lock, three processes, and what the proof notes down.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::Action;
use super::step::Choice;

/// How many processes there are.
pub const PROCESSES: usize = 3;
/// A lease's length in ticks. Shorter, a renewal would extend nothing.
pub const TTL: i8 = 2;
/// All times are relative to now, and nothing tells one that is longer past than this from another.
pub(super) const PAST: i8 = -1;
/// More files than there can be at once: those in the directory, and two that each process has open.
pub const FILES: usize = 12;

/// A file, by its place among the files of a state.
pub type Ref = u8;
/// No file.
pub(super) const NONE: Ref = u8::MAX;
/// A file that was assessed and is in no place any more: which one it was makes no difference.
pub(super) const GONE: Ref = u8::MAX - 1;

/// The first line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Held until then.
    Held(i8),
    /// Free.
    Released,
}

/// A file that is a generation, was one, or is to be one.
///
/// Its kernel lock is held by the process whose [`Process::own`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its number in the directory; 0 when it isn't there.
    pub at: u8,
    /// What its first line says.
    pub mark: Mark,
    /// The token in it.
    pub token: u8,
    /// It is an operator's, who takes the lock away: nobody's TTL.
    pub of_break: bool,
    /// Noted: another was published as its successor.
    pub succeeded: bool,
    /// Noted: it was published at a number that had been used before.
    pub reused: bool,
}

/// Where a process stands. Each name is the step that it takes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the page of the model has a line for each")]
pub enum At {
    /// Nothing is asked. A record of its own that it released may be kept.
    Idle,
    ForwardWrite,
    ForwardPublish,
    ForwardLook,
    List,
    Open,
    Clock,
    Read,
    Probe,
    Unlock,
    Reread,
    Prepare,
    Publish,
    ListAgain,
    LookAgain,
    Sweep,
    Free,
    /// The grant is on its way to the caller.
    Granted,
    /// The caller has, or had, the lock.
    Have,
    RenewWrite,
    RenewNext,
    RenewIsAt,
    RenewClock,
    ReleaseIsAt,
    ReleaseWrite,
}

/// A process, in at most one call.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, most of them notes of the proof")]
pub struct Process {
    /// For readers of a trace; no part of the state.
    pub name: u8,
    /// The step that it takes next.
    pub at: At,
    /// How long the caller still believes that it holds the lock.
    pub belief: i8,
    /// How long a grant would be believed that answers the call under way.
    pub sent: i8,
    /// The file whose kernel lock it holds: prepared, published, held, or released and kept.
    pub own: Ref,
    /// The number of `own`, once it has one.
    pub own_number: u8,
    /// The file that it looks at, or has assessed.
    pub seen: Ref,
    /// The number of `seen`; 0 when the directory was empty.
    pub seen_number: u8,
    /// Older generations to be swept, a bit each.
    pub older: u16,
    /// The clock as it was read, a deadline that is to be written, or the deadline before.
    pub time: i8,
    /// The highest token that it read.
    pub token: u8,
    /// What it read says that the deadline has passed.
    pub expired: bool,
    /// It is an operator's break and no acquire.
    pub breaking: bool,
    /// The renewal under way is an acquire of an owner that has the lock already.
    pub again: bool,
    /// All older generations were swept when `own` was published.
    pub swept: bool,
    /// Noted: an operator took its lock away.
    pub broken: bool,
    /// Noted: its lock had a successor when the call under way began.
    pub too_late: bool,
}

/// Everything.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// The processes, in no order.
    pub processes: [Process; PROCESSES],
    /// The files that are in the directory or open, the first `len` of these.
    pub files: [File; FILES],
    /// How many files there are.
    pub len: u8,
    /// Noted: the highest number that was ever published.
    pub highest: u8,
    /// Noted: the greatest token that was ever granted.
    pub greatest: u8,
    /// Noted: the rules that were broken, a bit for each rule.
    pub broken_rules: u16,
    /// What may still happen.
    pub limits: Limits,
}

/// How much of everything may still happen; `u8::MAX` is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Calls of `try_acquire` of new owners.
    pub acquires: u8,
    /// Ticks of the clock.
    pub ticks: u8,
    /// Processes killed.
    pub crashes: u8,
    /// Breaks by an operator.
    pub breaks: u8,
    /// Sweeps that fail.
    pub failures: u8,
    /// Grants that don't reach their caller.
    pub asks: u8,
}

impl Limits {
    pub(super) fn allow(self, choice: Choice) -> bool {
        match choice {
            Choice::Acquire => self.acquires > 0,
            Choice::Break => self.breaks > 0,
            Choice::Fail => self.failures > 0,
            Choice::AskAgain => self.asks > 0,
            _ => true,
        }
    }
    pub(super) fn spend(&mut self, action: Action) {
        let what = match action {
            Action::Tick => &mut self.ticks,
            Action::Crash(_) => &mut self.crashes,
            Action::Step(_, Choice::Acquire) => &mut self.acquires,
            Action::Step(_, Choice::Break) => &mut self.breaks,
            Action::Step(_, Choice::Fail) => &mut self.failures,
            Action::Step(_, Choice::AskAgain) => &mut self.asks,
            Action::Step(..) => return,
        };
        if *what < u8::MAX {
            *what -= 1;
        }
    }
    fn bytes(self) -> [u8; 6] {
        [self.acquires, self.ticks, self.crashes, self.breaks, self.failures, self.asks]
    }
}

/// What is noted when a step breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Rule {
    /// A number is confirmed as a grant's once.
    NumberOnce,
    /// A later grant has a greater token.
    TokensRise,
    /// A record with a successor isn't renewed.
    NotRevived,
    /// A release says that it released what was still held when it began.
    ReleasedOwn,
    /// A process that merely looks is no holder.
    HeldByHolder,
    /// A release isn't told as a crash.
    ReleaseIsNoCrash,
    /// A break takes the lock from one holder at most.
    BreakHitsOne,
}

impl File {
    pub(super) const NOTHING: Self =
        Self { at: 0, mark: Mark::Released, token: 0, of_break: false, succeeded: false, reused: false };
}

impl Process {
    pub(super) fn new(name: u8) -> Self {
        Self {
            name,
            at: At::Idle,
            belief: 0,
            sent: 0,
            own: NONE,
            own_number: 0,
            seen: NONE,
            seen_number: 0,
            older: 0,
            time: 0,
            token: 0,
            expired: false,
            breaking: false,
            again: false,
            swept: false,
            broken: false,
            too_late: false,
        }
    }

    /// Everything about it but its name and its files.
    pub(super) fn key(&self) -> [u8; 9] {
        let flags = [self.expired, self.breaking, self.again, self.swept, self.broken, self.too_late];
        let flags = flags.iter().fold(0_u8, |bits, flag| bits << 1 | u8::from(*flag));
        let [older_high, older_low] = self.older.to_be_bytes();
        let times = |a: i8, b: i8| (a + 8).cast_unsigned() << 4 | (b + 8).cast_unsigned();
        [
            self.at as u8,
            times(self.belief, self.sent),
            self.own_number,
            self.seen_number,
            older_high,
            older_low,
            (self.time + 8).cast_unsigned(),
            self.token,
            flags,
        ]
    }
}

impl State {
    /// An empty directory, and nobody who wants anything.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            processes: [Process::new(1), Process::new(2), Process::new(3)],
            files: [File::NOTHING; FILES],
            len: 0,
            highest: 0,
            greatest: 0,
            broken_rules: 0,
        }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files[..usize::from(self.len)]
    }

    pub(super) fn file(&self, file: Ref) -> &File {
        &self.files[usize::from(file)]
    }

    pub(super) fn file_mut(&mut self, file: Ref) -> &mut File {
        &mut self.files[usize::from(file)]
    }

    /// The file at a number.
    pub(super) fn there(&self, number: u8) -> Option<Ref> {
        let found = self.files().iter().position(|file| file.at == number && number > 0);
        found.and_then(|index| Ref::try_from(index).ok())
    }

    /// The highest generation.
    pub(super) fn top(&self) -> Option<Ref> {
        let highest = self.files().iter().map(|file| file.at).max().filter(|at| *at > 0)?;
        self.there(highest)
    }

    /// Whether some process holds the file's kernel lock.
    pub(super) fn is_locked(&self, file: Ref) -> bool {
        self.processes.iter().any(|process| process.own == file)
    }

    pub(super) fn add(&mut self, file: File) -> Ref {
        let at = self.len;
        self.files[usize::from(at)] = file;
        self.len += 1;
        at
    }

    pub(super) fn note(&mut self, rule: Rule) {
        self.broken_rules |= 1 << rule as u16;
    }

    pub(super) fn broke(&self, rule: Rule) -> bool {
        self.broken_rules & 1 << rule as u16 != 0
    }

    pub(super) fn write_to(&self, mut take: impl FnMut(&[u8])) {
        take(&[self.len, self.highest, self.greatest]);
        take(&self.broken_rules.to_be_bytes());
        take(&self.limits.bytes());
        for process in &self.processes {
            take(&process.key());
            take(&[process.own, process.seen]);
        }
        for file in self.files() {
            let mark = match file.mark {
                Mark::Held(left) => (left + 8).cast_unsigned(),
                Mark::Released => 0,
            };
            let flags = u8::from(file.of_break) << 2 | u8::from(file.succeeded) << 1 | u8::from(file.reused);
            take(&[file.at, mark, file.token, flags]);
        }
    }

    /// What two equal states have in common.
    pub(super) fn bytes(&self) -> ([u8; 96], usize) {
        let (mut bytes, mut len) = ([0; 96], 0);
        self.write_to(|part| {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        });
        (bytes, len)
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (bytes, len) = self.bytes();
        hasher.write(&bytes[..len]);
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at: Ref| {
            if at == NONE {
                "-".to_owned()
            } else if at == GONE {
                "gone".to_owned()
            } else {
                format!("f{at}")
            }
        };
        for (index, file) in self.files().iter().enumerate() {
            let said = if file.of_break { " (of a break)" } else { "" };
            let place = if file.at == 0 { "nowhere".to_owned() } else { format!("at {}", file.at) };
            writeln!(f, "  f{index} {place} {:?}{said} token {}", file.mark, file.token)?;
        }
        let mut processes = self.processes;
        processes.sort_by_key(|process| process.name);
        for process in processes {
            let Process { name: who, at, belief, sent, own_number, seen_number, .. } = process;
            let (own, seen) = (name(process.own), name(process.seen));
            writeln!(
                f,
                "  P{who} {at:?} believes {belief} sent {sent} own {own}@{own_number} saw {seen}@{seen_number}"
            )?;
        }
        Ok(())
    }
}
