//! Histories made by hand, so that each invariant is seen to catch what breaks it.

use super::{Invariant, Nanos, Patience, violations};
use crate::chaos::event::{Act, Deed};
use crate::chaos::facts::Facts;
use crate::chaos::history::{Failure, Grant, History, Op, Process, Trespass};
use crate::chaos::resource::Step;

pub(super) const TTL: Nanos = 300;
pub(super) const PATIENCE: Nanos = 1_000;

/// A history of one key, `k`, in which each acquisition has a process of its own.
pub(super) struct Story(History);

/// One acquisition of a story.
pub(super) struct Told<'a> {
    op: &'a mut Op,
    process: &'a mut Process,
}

/// The invariants that a story breaks.
pub(super) fn found(story: &Story) -> Vec<Invariant> {
    violations(&Facts::of(&story.0), Patience { nanos: PATIENCE, waiters_may_hold: false })
        .into_iter()
        .map(|violation| violation.invariant)
        .collect()
}

impl Story {
    pub(super) fn new() -> Self {
        Self(History { resources: vec![("k".into(), Vec::new())], ..History::default() })
    }

    pub(super) fn history(self) -> History {
        self.0
    }

    /// A grant, believed in from `returned` for one moment: say how it went on.
    pub(super) fn grant(&mut self, invoked: Nanos, returned: Nanos, token: u64) -> Told<'_> {
        let told = self.waited(invoked, returned);
        told.op.grant = Some(Grant {
            token,
            owner: format!("owner-{invoked}"),
            ttl: TTL,
            returned,
            last_held: returned,
            deadline: returned,
            ..Grant::default()
        });
        told
    }

    pub(super) fn waited(&mut self, invoked: Nanos, over: Nanos) -> Told<'_> {
        let process = self.0.processes.len();
        self.0.processes.push(Process { name: format!("p{process}"), ..Process::default() });
        let op = Op { process, key: "k".into(), waits: true, invoked, over: Some(over), ..Op::default() };
        self.0.ops.push(op);
        Told { op: self.0.ops.last_mut().unwrap(), process: self.0.processes.last_mut().unwrap() }
    }

    pub(super) fn failed(&mut self, invoked: Nanos, over: Nanos) -> Told<'_> {
        let told = self.waited(invoked, over);
        told.op.error = Some("no".into());
        told
    }

    /// A release or a look that the store fails, of the last process told of.
    pub(super) fn helpless(&mut self, since: Nanos, at: Nanos) {
        let process = self.0.processes.len() - 1;
        self.0.failures.push(Failure { process, since, at, error: "no".into() });
    }

    pub(super) fn broke(&mut self, token: u64, before: Nanos, after: Nanos) {
        self.act(before, after, Deed::Broke { key: "k".into(), token });
    }

    pub(super) fn removed(&mut self, tokens: &[u64], before: Nanos, after: Nanos) {
        self.act(before, after, Deed::Removed { key: "k".into(), tokens: tokens.into() });
    }

    pub(super) fn quiet(&mut self, at: Nanos) {
        self.act(at, at, Deed::Quiet);
    }

    pub(super) fn ended_badly(&mut self, at: Nanos) {
        self.act(at, at, Deed::Ended { process: "p".into(), good: false });
    }

    pub(super) fn trespass(&mut self, at: Nanos, freed: bool) {
        self.0.trespasses.push(Trespass { at, key: "k".into(), owner: "stranger".into(), freed });
    }

    pub(super) fn steps(&mut self, steps: &[(bool, u64, &str, u64)]) {
        let steps = steps.iter().map(|(writes, token, owner, value)| Step {
            writes: *writes,
            token: *token,
            owner: (*owner).into(),
            value: *value,
        });
        self.0.resources[0].1.extend(steps);
    }

    fn act(&mut self, before: Nanos, after: Nanos, deed: Deed) {
        self.0.acts.push(Act { before, after, deed });
    }
}

impl Told<'_> {
    fn grant(&mut self) -> &mut Grant {
        self.op.grant.as_mut().unwrap()
    }

    pub(super) fn held(mut self, at: Nanos) -> Self {
        self.grant().last_held = at;
        self.grant().deadline = self.grant().deadline.max(at);
        self
    }

    pub(super) fn renewed(mut self, deadline: Nanos) -> Self {
        self.grant().deadline = deadline;
        self
    }

    pub(super) fn let_go(mut self, at: Nanos) -> Self {
        self.grant().let_go = Some(at);
        self.grant().deadline = self.grant().deadline.max(at);
        self
    }

    pub(super) fn released(mut self, at: Nanos, ours: bool) -> Self {
        self.grant().released = Some((at, ours));
        self
    }

    pub(super) fn lost(mut self, at: Nanos, reason: &str) -> Self {
        self.grant().lost = Some((at, reason.into()));
        self
    }

    pub(super) fn refused(mut self, at: Nanos) -> Self {
        self.grant().refused.push((at, 99));
        self
    }

    pub(super) fn wrote(mut self, _at: Nanos) -> Self {
        self.grant().writes += 1;
        self
    }

    pub(super) fn inspected(mut self, at: Nanos, owner: Option<&str>) -> Self {
        self.grant().inspected.push((at, owner.map(str::to_owned)));
        self
    }

    pub(super) fn killed(self, at: Nanos) {
        self.process.killed = Some(at);
        self.process.gone = Some(at);
    }

    pub(super) fn stopped(self, from: Nanos, to: Nanos) {
        self.process.stops.push((from, to));
    }

    pub(super) fn troubled(self, from: Nanos, to: Nanos) -> Self {
        self.process.troubles.push((from, to));
        self
    }
}
