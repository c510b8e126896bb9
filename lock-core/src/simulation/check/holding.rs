//! A history put in order: one story for each acquisition.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::disturbed::Disturbances;
use crate::OwnerId;
use crate::simulation::clock::{Nanos, nanos};
use crate::simulation::history::{Event, Op, What};
use crate::simulation::trial::Phases;

/// Everything that the checks look at.
pub(super) struct Story {
    pub(super) ttl: Nanos,
    pub(super) healed: Nanos,
    pub(super) ops: BTreeMap<Op, Acquisition>,
    /// The store's first grant to each owner, by key, in the order of time: when, to whom, its token.
    pub(super) grants: HashMap<String, Vec<(Nanos, OwnerId, u64)>>,
    /// Where among the grants of which key each owner's grant with a token is.
    pub(super) places: HashMap<(OwnerId, u64), (String, usize)>,
    /// When a client was first told that a lease isn't its any more, by owner and token.
    pub(super) refused: HashMap<(OwnerId, u64), Nanos>,
    /// When each owner's lease was taken away (`true`) or made to end too early.
    pub(super) robbed: HashMap<OwnerId, Vec<(Nanos, bool)>>,
    /// Since when tokens may go back: data was lost after the store's clock had gone back.
    pub(super) clock_went_back: Option<Nanos>,
    /// By how much that prolonged the leases of then.
    pub(super) prolonged: Nanos,
    pub(super) disturbed: Disturbances,
    pub(super) killed: HashMap<usize, Nanos>,
}

/// One acquisition, from its call to its end.
#[derive(Debug)]
pub(super) struct Acquisition {
    pub(super) client: usize,
    pub(super) key: String,
    pub(super) invoked: Nanos,
    pub(super) waits: bool,
    pub(super) limit: Option<Duration>,
    pub(super) max_hold: Option<Duration>,
    /// When its call was over: answered, failed, dropped, or its process killed.
    pub(super) over: Option<Nanos>,
    pub(super) holding: Option<Holding>,
}

/// What its guard said.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) owner: OwnerId,
    pub(super) token: u64,
    pub(super) supervisor: usize,
    pub(super) returned: Nanos,
    /// When it said that the lock is held, and until when: in the order of time.
    pub(super) looks: Vec<(Nanos, Nanos)>,
    /// Since when its holder waits for the loss: who writes does not.
    pub(super) listened: Nanos,
    pub(super) lost: Option<(Nanos, &'static str, bool)>,
    /// When its lease was over then, or its `max_hold`.
    pub(super) over: Option<Nanos>,
    /// It said that the lock is held after it had said that it is lost.
    pub(super) revived: Option<Nanos>,
    pub(super) let_go: Option<Nanos>,
    pub(super) released: Option<(Nanos, &'static str)>,
    pub(super) killed: Option<Nanos>,
    /// When its supervisor was shut down.
    pub(super) shut_down: Option<Nanos>,
}

impl Holding {
    /// Until when the lock was promised, whatever its holder did.
    pub(super) fn promised(&self) -> Nanos {
        self.looks.iter().map(|(_, until)| *until).fold(self.returned, Nanos::max)
    }

    /// When belief ended: with the promise, or sooner because the holder let go, died, or was told of the loss.
    pub(super) fn end(&self) -> Nanos {
        let lost = self.lost.map(|(at, ..)| at);
        let ends = [self.let_go, lost.filter(|_| self.revived.is_none()), self.killed, self.shut_down];
        ends.into_iter().flatten().fold(self.promised(), Nanos::min)
    }
}

impl Story {
    pub(super) fn of(events: &[Event], phases: Phases) -> Self {
        let mut story = Self {
            ttl: nanos(phases.ttl),
            healed: phases.healed,
            ops: BTreeMap::new(),
            grants: HashMap::new(),
            places: HashMap::new(),
            refused: HashMap::new(),
            robbed: HashMap::new(),
            clock_went_back: None,
            prolonged: 0,
            disturbed: Disturbances::default(),
            killed: HashMap::new(),
        };
        let mut granted: HashMap<OwnerId, u64> = HashMap::new();
        let (mut shut_down, mut disturbed) = (HashMap::new(), Vec::new());
        for Event { at, client, what } in events {
            let at = *at;
            match what {
                What::Granted { key, owner, token } => {
                    if granted.insert(*owner, *token) != Some(*token) {
                        let grants = story.grants.entry(key.clone()).or_default();
                        story.places.entry((*owner, *token)).or_insert_with(|| (key.clone(), grants.len()));
                        grants.push((at, *owner, *token));
                    }
                }
                What::Robbed { owners } => {
                    for owner in owners {
                        story.robbed.entry(*owner).or_default().push((at, true));
                    }
                }
                What::ClockJumped { owners, back } => {
                    for owner in owners {
                        story.robbed.entry(*owner).or_default().push((at, false));
                    }
                    story.prolonged += back;
                    if *back > 0 {
                        story.clock_went_back.get_or_insert(at);
                    }
                }
                What::Refused { owner, token } => drop(story.refused.entry((*owner, *token)).or_insert(at)),
                What::Disturbed { what, until } => disturbed.push((*client, *what, at, *until)),
                What::ShuttingDown { supervisor } => drop(shut_down.insert((*client, *supervisor), at)),
                What::Killed => story.killed.extend(client.map(|client| (client, at))),
                What::Invoked { op, key, waits, limit, max_hold } => {
                    let acquisition = Acquisition {
                        client: client.unwrap_or(0),
                        key: key.clone(),
                        invoked: at,
                        waits: *waits,
                        limit: *limit,
                        max_hold: *max_hold,
                        over: None,
                        holding: None,
                    };
                    story.ops.insert(*op, acquisition);
                }
                other => story.take(at, other),
            }
        }
        story.disturbed = Disturbances::of(&disturbed);
        for acquisition in story.ops.values_mut() {
            if let Some(holding) = &mut acquisition.holding {
                holding.shut_down = shut_down.get(&(Some(acquisition.client), holding.supervisor)).copied();
            }
            if let Some(killed) = story.killed.get(&acquisition.client) {
                acquisition.over = Some(acquisition.over.map_or(*killed, |over| over.min(*killed)));
                if let Some(holding) = &mut acquisition.holding {
                    holding.killed = Some(*killed);
                }
            }
        }
        story
    }

    fn take(&mut self, at: Nanos, what: &What) {
        let (What::Acquired { op, .. }
        | What::NotAcquired { op, .. }
        | What::Cancelled { op }
        | What::Held { op, .. }
        | What::Listens { op }
        | What::Lost { op, .. }
        | What::LetGo { op }
        | What::Released { op, .. }) = what
        else {
            return;
        };
        let Some(acquisition) = self.ops.get_mut(op) else { return };
        match what {
            What::Acquired { owner, token, until, supervisor, .. } => {
                acquisition.over = Some(at);
                acquisition.holding = Some(Holding {
                    owner: *owner,
                    token: *token,
                    supervisor: *supervisor,
                    returned: at,
                    looks: vec![(at, *until)],
                    listened: at,
                    lost: None,
                    over: None,
                    revived: None,
                    let_go: None,
                    released: None,
                    killed: None,
                    shut_down: None,
                });
                return;
            }
            What::NotAcquired { .. } | What::Cancelled { .. } => acquisition.over = Some(at),
            _ => {}
        }
        let Some(holding) = &mut acquisition.holding else { return };
        match what {
            What::Held { until, .. } => {
                if holding.lost.is_some() {
                    holding.revived.get_or_insert(at);
                }
                holding.looks.push((at, *until));
            }
            What::Listens { .. } => holding.listened = at,
            What::Lost { reason, told, over, .. } => {
                holding.lost.get_or_insert((at, reason, *told));
                holding.over.get_or_insert(*over);
            }
            What::LetGo { .. } => holding.let_go = Some(at),
            What::Released { answer, .. } => holding.released = Some((at, answer)),
            _ => {}
        }
    }

    /// All that were granted, with their numbers.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (Op, &Acquisition, &Holding)> {
        self.ops.iter().filter_map(|(op, acquisition)| Some((*op, acquisition, acquisition.holding.as_ref()?)))
    }
}

/// A moment, for people.
pub(super) fn s(at: Nanos) -> String {
    format!("{:.4} s", Duration::from_nanos(at).as_secs_f64())
}
