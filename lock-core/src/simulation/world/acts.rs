//! What is done to hosts and store, at its time.

use super::World;
use super::network::Cut;
use crate::Operation;
use crate::simulation::clock::nanos;
use crate::simulation::fault::Fault;
use crate::simulation::history::{Disturbance, What};
use crate::simulation::message::{Answer, Delivery};
use crate::simulation::process::Sleep;
use crate::simulation::store::Held;

#[derive(Debug, Clone)]
pub(super) enum Act {
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

impl World {
    pub(super) fn schedule(&mut self, fault: &Fault) {
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

    pub(super) fn perform(&mut self, act: &Act) {
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
                    self.history.unheard(|| process.kill());
                }
            }
            Act::StoreDown => {
                self.store_is_down = true;
                for envelope in self.store.hang_up() {
                    self.reply(now, &envelope, Answer::reset(Operation::Wait), now);
                }
            }
            Act::StoreUp => self.store_is_down = false,
            Act::LoseData { hinted } => {
                let lost = self.store.lose_data();
                self.robbed(lost, hinted);
            }
            Act::JumpClock { by_ms } => {
                self.store_clock.jumped += by_ms * 1_000_000;
                let back = by_ms.min(0).unsigned_abs() * 1_000_000;
                let shortened = self.store.held(reading).filter(|_| back == 0);
                let owners = shortened.map(|(_, held)| held.owner).collect();
                self.history.add(now, None, What::ClockJumped { owners, back });
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

    pub(super) fn robbed(&mut self, lost: Vec<Held>, hinted: bool) {
        let now = self.now;
        let owners = lost.iter().map(|held| held.owner).collect();
        self.history.add(now, None, What::Robbed { owners });
        for held in lost.into_iter().filter(|_| hinted) {
            let at = now + self.latency(held.client, now);
            self.deliver(held.client, at, Delivery::Hint(held.hint, held.owner));
        }
        self.wake(now, now);
    }
}
