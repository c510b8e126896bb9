//! The world of a run: hosts, a network, a store; stepped in true time.
//!
//! Time goes on in rounds. A message that is sent in a round arrives after it, so within a round the clients and
//! the store can't influence each other, and the order in which they are run doesn't matter. Where nothing is
//! known to happen, rounds are long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::mixed;
use super::clock::{HostClock, Nanos, nanos};
use super::fault::{Fate, Fault};
use super::history::{Disturbance, History, What};
use super::message::{Answer, Delivery, Envelope, Request, Sent};
use super::process::{Ending, Process, Sleep};
use super::store::{Held, Store};
use crate::Attempt;

/// Where the store's clock begins. Its tokens are microseconds of this.
const STORE_EPOCH: Nanos = 1_000_000_000_000_000;

pub(super) struct World {
    seed: u64,
    ttl: Nanos,
    now: Nanos,
    pub(super) processes: Vec<Process>,
    /// How many requests each has sent.
    requests: Vec<u64>,
    /// What is on its way to the store or to a resource, by its arrival.
    in_flight: BTreeMap<(Nanos, u64), Arrival>,
    /// What is done to hosts and store, by its time.
    acts: BTreeMap<(Nanos, u64), Act>,
    store: Store,
    store_clock: StoreClock,
    store_is_down: bool,
    fates: BTreeMap<(bool, usize, u64), Fate>,
    cuts: Vec<Cut>,
    history: History,
    /// From then on each client's requests arrive in the order in which they were sent, as over one connection.
    healed: Option<Vec<Nanos>>,
    sequence: u64,
}

enum Arrival {
    AtStore(Envelope),
    AtResource { client: usize, deed: super::message::Deed },
}

#[derive(Debug, Clone)]
enum Act {
    Sleep { client: usize, sleep: Sleep },
    Kill(usize),
    StoreDown,
    StoreUp,
    LoseData { hinted: bool },
    JumpClock { by_ms: i64 },
    Break { hinted: bool },
    Heal,
    Inventory,
}

struct Cut {
    client: usize,
    from: Nanos,
    until: Nanos,
    kept: bool,
}

struct StoreClock {
    rate_ppm: i32,
    jumped: i64,
}

/// What is fixed before a run.
pub(super) struct Settings<'a> {
    pub(super) seed: u64,
    pub(super) ttl: Duration,
    pub(super) faults: &'a [Fault],
    /// From when on no message meets a fault.
    pub(super) heal: Duration,
    /// When to write down what the store holds, if at all.
    pub(super) inventory: Option<Nanos>,
}

/// The clock that a host has under these faults.
pub(super) fn host_clock(client: usize, faults: &[Fault], heal: Duration) -> HostClock {
    let mut rate = 0;
    let mut stalls = BTreeMap::new();
    for fault in faults {
        match fault {
            Fault::Drift { client: whose, ppm } if *whose == client => rate = *ppm,
            Fault::Stall { client: whose, look, lasts } if *whose == client => {
                stalls.insert(*look, nanos(*lasts));
            }
            _ => {}
        }
    }
    HostClock::new(rate, stalls, nanos(heal))
}

impl World {
    pub(super) fn new(settings: &Settings<'_>, processes: Vec<Process>, history: History) -> Self {
        let mut world = Self {
            seed: settings.seed,
            ttl: nanos(settings.ttl),
            now: 0,
            requests: vec![0; processes.len()],
            processes,
            in_flight: BTreeMap::new(),
            acts: BTreeMap::new(),
            store: Store::default(),
            store_clock: StoreClock { rate_ppm: 0, jumped: 0 },
            store_is_down: false,
            fates: BTreeMap::new(),
            cuts: Vec::new(),
            history,
            healed: None,
            sequence: 0,
        };
        // Where nothing fails, nothing is overtaken either.
        if settings.faults.is_empty() {
            world.healed = Some(vec![0; world.processes.len()]);
        }
        for fault in settings.faults {
            world.schedule(fault);
        }
        world.at(nanos(settings.heal), Act::Heal);
        if let Some(at) = settings.inventory {
            world.at(at, Act::Inventory);
        }
        world
    }

    fn schedule(&mut self, fault: &Fault) {
        match *fault {
            Fault::Request { client, nth, fate } => drop(self.fates.insert((true, client, nth), fate)),
            Fault::Reply { client, nth, fate } => drop(self.fates.insert((false, client, nth), fate)),
            Fault::CutOff { client, at, lasts, kept } => {
                let (from, until) = (nanos(at), nanos(at + lasts));
                self.history.add(from, Some(client), What::Disturbed { what: Disturbance::CutOff, until });
                self.cuts.push(Cut { client, from, until, kept });
            }
            Fault::Pause { client, at, lasts, replies_first } => {
                let sleep = Sleep { until: nanos(at + lasts), suspended: false, replies_first };
                self.at(nanos(at), Act::Sleep { client, sleep });
            }
            Fault::Suspend { client, at, lasts } => {
                let sleep = Sleep { until: nanos(at + lasts), suspended: true, replies_first: false };
                self.at(nanos(at), Act::Sleep { client, sleep });
            }
            Fault::Kill { client, at } => self.at(nanos(at), Act::Kill(client)),
            Fault::StoreDown { at, lasts } => {
                let until = nanos(at + lasts);
                self.history.add(nanos(at), None, What::Disturbed { what: Disturbance::CutOff, until });
                self.at(nanos(at), Act::StoreDown);
                self.at(nanos(at + lasts), Act::StoreUp);
            }
            Fault::StoreLosesData { at, hinted } => self.at(nanos(at), Act::LoseData { hinted }),
            Fault::StoreClockJumps { at, by_ms } => self.at(nanos(at), Act::JumpClock { by_ms }),
            Fault::StoreDrift { ppm } => self.store_clock.rate_ppm = ppm,
            Fault::Break { at, hinted } => self.at(nanos(at), Act::Break { hinted }),
            // These are in the hosts' clocks.
            Fault::Drift { .. } | Fault::Stall { .. } => {}
        }
    }

    fn at(&mut self, at: Nanos, act: Act) {
        let sequence = self.next();
        self.acts.insert((at, sequence), act);
    }

    pub(super) fn now(&self) -> Nanos {
        self.now
    }

    pub(super) fn all_finished(&self) -> bool {
        self.processes.iter().all(Process::is_finished)
    }

    /// One round, not beyond `limit`.
    pub(super) fn step(&mut self, limit: Nanos) {
        let end = self.end_of_round().min(limit).max(self.now + 1);
        self.serve(end);
        for client in 0..self.processes.len() {
            let ran = self.processes[client].run(end);
            if let Some((at, until)) = ran.stalled {
                self.history.add(at, Some(client), What::Disturbed { what: Disturbance::Stalled, until });
            }
            for (at, what) in ran.sent {
                self.submit(client, at, what, end);
            }
        }
        self.now = end;
        while let Some(act) = self.acts.first_entry().filter(|act| act.key().0 <= end) {
            let act = act.remove();
            self.perform(&act);
        }
    }

    fn end_of_round(&self) -> Nanos {
        let (shortest, longest) = (self.ttl / 2_000, self.ttl / 100);
        let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
        let expiry = self.store.next_expiry().map(|reading| self.store_clock.when(reading));
        let processes = self.processes.iter().filter_map(Process::next_known);
        let known = arrival.into_iter().chain(expiry).chain(processes).min().unwrap_or(Nanos::MAX);
        let end = known.clamp(self.now + shortest, self.now + longest);
        self.acts.keys().next().map_or(end, |(at, _)| end.min(*at))
    }

    /// The store and the resources take what arrives up to `end`.
    fn serve(&mut self, end: Nanos) {
        loop {
            let arrival = self.in_flight.keys().next().map_or(Nanos::MAX, |(at, _)| *at);
            let expiry = self.store.next_expiry().map_or(Nanos::MAX, |reading| self.store_clock.when(reading));
            let expiry = expiry.max(self.now);
            if arrival.min(expiry) > end {
                return;
            }
            if expiry <= arrival {
                self.wake(expiry, end);
                continue;
            }
            let Some((_, arrived)) = self.in_flight.pop_first() else { return };
            match arrived {
                Arrival::AtStore(envelope) => self.at_store(arrival, &envelope, end),
                Arrival::AtResource { client, deed } => {
                    self.history.set_now(arrival);
                    let back = deed();
                    let at = (arrival + self.latency(client, arrival)).max(end + 1);
                    self.deliver(client, at, Delivery::Return(back));
                }
            }
        }
    }

    fn at_store(&mut self, at: Nanos, envelope: &Envelope, end: Nanos) {
        if self.store_is_down {
            self.reply(at, envelope, Answer::refused(envelope.request.operation()), end);
            return;
        }
        let answer = self.store.handle(envelope, self.store_clock.reading(at));
        let (key, owner) = (envelope.request.key().to_owned(), envelope.request.owner());
        match &answer {
            Some(Answer::Attempt(attempt)) => {
                if let Attempt::Granted(grant) = &**attempt {
                    self.history.add(at, None, What::Granted { key, owner, token: grant.token().get() });
                }
            }
            Some(Answer::Release(crate::Release::Released)) => self.history.add(at, None, What::Freed { key, owner }),
            _ => {}
        }
        if let Some(answer) = answer {
            self.reply(at, envelope, answer, end);
        }
        if matches!(envelope.request, Request::Release(_)) {
            self.wake(at, end);
        }
    }

    /// Tells those who wait for what is free.
    fn wake(&mut self, at: Nanos, end: Nanos) {
        for envelope in self.store.woken(self.store_clock.reading(at)) {
            self.reply(at, &envelope, Answer::Try, end);
        }
    }

    /// The network takes what a client sent in a round that ends at `end`.
    fn submit(&mut self, client: usize, at: Nanos, sent: Sent, end: Nanos) {
        let (request, reply_to) = match sent {
            Sent::ToResource { deed, delay } => {
                let arrives = (at + self.latency(client, at) + nanos(delay)).max(end + 1);
                self.fly(arrives, Arrival::AtResource { client, deed });
                return;
            }
            Sent::ToStore { request, reply_to } => (request, reply_to),
        };
        let nth = self.requests[client];
        self.requests[client] += 1;
        let (operation, key, owner) = (request.operation(), request.key().to_owned(), request.owner());
        self.history.add(at, Some(client), What::Sent { nth, operation, key, owner });
        let envelope = Envelope { client, nth, request, reply_to };
        let mut soon = at + self.latency(client, mixed(&[nth, 1]));
        if let Some(last) = self.healed.as_mut().map(|last| &mut last[client]) {
            soon = soon.max(*last + 1);
            *last = soon;
        }
        let fails = |world: &mut Self, answer| {
            let reply_to = envelope.reply_to.clone();
            world.deliver(client, soon.max(end + 1), Delivery::Answer(reply_to, answer));
        };
        if let Some((until, kept)) = self.cut(client, at) {
            if kept {
                self.fly(until.max(soon).max(end + 1), Arrival::AtStore(envelope));
            }
            return;
        }
        let fate = self.fates.get(&(true, client, nth)).copied();
        let late = |by: Duration| soon + nanos(by);
        match fate {
            None => {}
            Some(Fate::Lost) => self.disturbed(client, at, soon),
            Some(Fate::ConnectionBreaks) => {
                self.disturbed(client, at, soon);
                fails(self, Answer::refused(operation));
            }
            Some(Fate::Late(by) | Fate::Twice(by)) => self.disturbed(client, at, late(by)),
            Some(Fate::BreaksAndArrivesLate(by)) => {
                self.disturbed(client, at, late(by));
                fails(self, Answer::reset(operation));
            }
        }
        let arrivals = match fate {
            None => vec![soon],
            Some(Fate::Lost | Fate::ConnectionBreaks) => vec![],
            Some(Fate::Late(by) | Fate::BreaksAndArrivesLate(by)) => vec![late(by)],
            Some(Fate::Twice(by)) => vec![soon, late(by)],
        };
        for arrives in arrivals {
            self.fly(arrives.max(end + 1), Arrival::AtStore(envelope.clone()));
        }
    }

    /// The network takes a reply.
    fn reply(&mut self, at: Nanos, envelope: &Envelope, answer: Answer, end: Nanos) {
        let (client, nth) = (envelope.client, envelope.nth);
        let soon = at + self.latency(client, mixed(&[nth, 2]));
        let (mut answer, mut arrives) = (answer, soon);
        if let Some((until, kept)) = self.cut(client, at) {
            if !kept {
                return;
            }
            arrives = until.max(soon);
        }
        match self.fates.get(&(false, client, nth)).copied() {
            None => {}
            Some(Fate::Lost) => {
                self.disturbed(client, at, soon);
                return;
            }
            Some(Fate::ConnectionBreaks) => {
                self.disturbed(client, at, soon);
                answer = Answer::reset(envelope.request.operation());
            }
            Some(Fate::Late(by) | Fate::BreaksAndArrivesLate(by) | Fate::Twice(by)) => {
                arrives += nanos(by);
                self.disturbed(client, at, arrives);
            }
        }
        self.deliver(client, arrives.max(end + 1), Delivery::Answer(envelope.reply_to.clone(), answer));
    }

    fn disturbed(&self, client: usize, at: Nanos, until: Nanos) {
        self.history.add(at, Some(client), What::Disturbed { what: Disturbance::Message, until });
    }

    fn perform(&mut self, act: &Act) {
        let (now, reading) = (self.now, self.store_clock.reading(self.now));
        match *act {
            Act::Sleep { client, sleep } => {
                let process = &mut self.processes[client];
                // One sleep at a time: what overlaps is left out.
                if process.asleep.is_none() {
                    process.asleep = Some(sleep);
                    let what = if sleep.suspended { Disturbance::Suspended } else { Disturbance::Paused };
                    self.history.add(now, Some(client), What::Disturbed { what, until: sleep.until });
                }
            }
            Act::Kill(client) => {
                if self.processes[client].is_alive() {
                    self.history.add(now, Some(client), What::Killed);
                    let process = &mut self.processes[client];
                    // What is dropped with it writes nothing any more.
                    self.history.unheard(|| drop(process.kill()));
                }
            }
            Act::StoreDown => {
                self.store_is_down = true;
                for envelope in self.store.hang_up() {
                    self.reply(now, &envelope, Answer::reset(crate::Operation::Wait), now);
                }
            }
            Act::StoreUp => self.store_is_down = false,
            Act::LoseData { hinted } => {
                let lost = self.store.lose_data();
                self.robbed(lost, hinted);
            }
            Act::JumpClock { by_ms } => {
                self.store_clock.jumped += by_ms * 1_000_000;
                let backwards = by_ms < 0;
                let shortened = self.store.held(reading).filter(|_| !backwards);
                let owners = shortened.map(|(_, held)| held.owner).collect();
                self.history.add(now, None, What::ClockJumped { owners, backwards });
                self.wake(now, now);
            }
            Act::Break { hinted } => {
                let first = self.store.held(reading).next().map(|(key, _)| key.clone());
                let lost = first.and_then(|key| self.store.break_lock(&key));
                self.robbed(lost.into_iter().collect(), hinted);
            }
            Act::Heal => {
                self.fates.clear();
                self.cuts.clear();
                self.hurry(now + self.ttl / 4);
                self.healed = Some(vec![now; self.processes.len()]);
                self.history.add(now, None, What::Healed);
            }
            Act::Inventory => {
                for (key, held) in self.store.held(reading) {
                    self.history.add(now, None, What::Remain { key: key.clone(), owner: held.owner });
                }
            }
        }
    }

    /// What is still on its way arrives by then.
    fn hurry(&mut self, latest: Nanos) {
        for ((at, sequence), arrival) in std::mem::take(&mut self.in_flight) {
            self.in_flight.insert((at.min(latest), sequence), arrival);
        }
        for process in &mut self.processes {
            for ((at, sequence), delivery) in std::mem::take(&mut process.inbox) {
                process.inbox.insert((at.min(latest), sequence), delivery);
            }
        }
    }

    fn robbed(&mut self, lost: Vec<Held>, hinted: bool) {
        let now = self.now;
        let owners = lost.iter().map(|held| held.owner).collect();
        self.history.add(now, None, What::Robbed { owners });
        for held in lost.into_iter().filter(|_| hinted) {
            let at = now + self.latency(held.client, now);
            self.deliver(held.client, at, Delivery::Hint(held.hint, held.owner));
        }
        self.wake(now, now);
    }

    /// A way's usual time: mostly short, now and then ten times as long.
    fn latency(&self, client: usize, salt: u64) -> Nanos {
        let draw = mixed(&[self.seed, client as u64, salt, 4]);
        let unit = self.ttl / 1_000;
        let longest = if draw.is_multiple_of(16) { 20 } else { 3 };
        unit / 2 + (draw >> 8) % (unit * longest)
    }

    fn cut(&self, client: usize, at: Nanos) -> Option<(Nanos, bool)> {
        let cut = self.cuts.iter().find(|cut| cut.client == client && (cut.from..cut.until).contains(&at))?;
        Some((cut.until, cut.kept))
    }

    fn fly(&mut self, at: Nanos, arrival: Arrival) {
        let sequence = self.next();
        self.in_flight.insert((at, sequence), arrival);
    }

    fn deliver(&mut self, client: usize, at: Nanos, delivery: Delivery) {
        let sequence = self.next();
        if self.processes[client].is_alive() {
            self.processes[client].inbox.insert((at, sequence), delivery);
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Ends all processes; answers how each program ended, if it did.
    pub(super) fn end(&mut self) -> Vec<Option<Ending>> {
        let processes = &mut self.processes;
        self.history.unheard(|| processes.iter_mut().map(Process::kill).collect())
    }
}

impl StoreClock {
    /// What it says at this true time.
    fn reading(&self, at: Nanos) -> Nanos {
        let rate = u128::from(1_000_000_u64.saturating_add_signed(self.rate_ppm.into()));
        let gone = u64::try_from(u128::from(at) * rate / 1_000_000).unwrap_or(u64::MAX);
        (STORE_EPOCH + gone).saturating_add_signed(self.jumped)
    }

    /// The first true time at which it says at least this.
    fn when(&self, reading: Nanos) -> Nanos {
        let rate = u128::from(1_000_000_u64.saturating_add_signed(self.rate_ppm.into()));
        let gone = reading.saturating_add_signed(-self.jumped).saturating_sub(STORE_EPOCH);
        u64::try_from((u128::from(gone) * 1_000_000).div_ceil(rate)).unwrap_or(u64::MAX)
    }
}
