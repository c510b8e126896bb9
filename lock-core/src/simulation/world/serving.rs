//! The store and the resources take what arrives, and answer.

use super::World;
use super::network::Arrival;
use crate::simulation::clock::Nanos;
use crate::simulation::fault::Fate;
use crate::simulation::history::What;
use crate::simulation::message::{Answer, Delivery, Envelope, Request};
use crate::{Attempt, Release};

impl World {
    /// The store and the resources take what arrives up to `end`.
    pub(super) fn serve(&mut self, end: Nanos) {
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

    pub(super) fn at_store(&mut self, at: Nanos, envelope: &Envelope, end: Nanos) {
        if self.store_is_down {
            // A refusal promises that the request isn't applied: not if a second of its kind is on its way.
            let comes_twice = matches!(self.fates.get(&(true, envelope.client, envelope.nth)), Some(Fate::Twice(_)));
            let answer = if comes_twice { Answer::reset } else { Answer::refused };
            self.reply(at, envelope, answer(envelope.request.operation()), end);
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
            Some(Answer::Release(Release::Released)) => self.history.add(at, None, What::Freed { key, owner }),
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
    pub(super) fn wake(&mut self, at: Nanos, end: Nanos) {
        for envelope in self.store.woken(self.store_clock.reading(at)) {
            self.reply(at, &envelope, Answer::Try, end);
        }
    }
}
