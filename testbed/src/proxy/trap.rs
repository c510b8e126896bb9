//! Traps: what happens to which request.

use super::state::End;

/// What a trap does to the request that it was set for, and to its connection.
///
/// ```
/// use testbed::proxy::{End, Trap};
///
/// // Every attempt to acquire is applied, and no reply is ever heard.
/// let trap = Trap::on_request_containing(b"acquire").and(b"my-key").cut_after().every_time();
/// // A server that answers nothing any more, after the third request.
/// let trap = Trap::on_request(3).cut_before().by(End::Fin).then_refuse();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a trap does nothing until it is given to `Proxy::set`"]
pub struct Trap {
    aim: Aim,
    act: Act,
    end: End,
    left: u64,
    then_refuse: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Aim {
    /// So many are still to come, this one included.
    Number(u64),
    Containing(Vec<Vec<u8>>),
}

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Before,
    After,
    Late,
}

/// What a trap decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) act: Act,
    pub(super) end: End,
    pub(super) then_refuse: bool,
}

impl Trap {
    /// For the `number`th request after the trap was set, on whatever connection; 1 is the next.
    ///
    /// # Panics
    /// If it is 0.
    pub fn on_request(number: u64) -> Self {
        assert_ne!(number, 0, "requests are counted from 1");
        Self::new(Aim::Number(number))
    }

    /// For the next request that has these bytes in it, wherever its reads are split.
    pub fn on_request_containing(bytes: impl AsRef<[u8]>) -> Self {
        Self::new(Aim::Containing(vec![bytes.as_ref().to_vec()]))
    }

    fn new(aim: Aim) -> Self {
        Self { aim, act: Act::Before, end: End::Reset, left: 1, then_refuse: false }
    }

    /// The request must have these bytes in it as well.
    ///
    /// # Panics
    /// If the trap is for a number.
    pub fn and(mut self, bytes: impl AsRef<[u8]>) -> Self {
        match &mut self.aim {
            Aim::Containing(all) => all.push(bytes.as_ref().to_vec()),
            Aim::Number(_) => panic!("a request is known by its number or by its bytes"),
        }
        self
    }

    /// Cuts before the request is forwarded: nothing is applied.
    pub fn cut_before(self) -> Self {
        Self { act: Act::Before, ..self }
    }

    /// Cuts after the server has answered: applied, and the reply lost.
    pub fn cut_after(self) -> Self {
        Self { act: Act::After, ..self }
    }

    /// Cuts at once, and keeps the request for [`Proxy::deliver_late`](super::Proxy::deliver_late).
    pub fn deliver_late(self) -> Self {
        Self { act: Act::Late, ..self }
    }

    /// How the client's connection ends; without this, by a reset.
    pub fn by(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// Acts so many times; of a number's trap, on the requests that follow it.
    pub fn times(self, times: u64) -> Self {
        Self { left: times, ..self }
    }

    /// Acts until the healing.
    pub fn every_time(self) -> Self {
        self.times(u64::MAX)
    }

    /// Refuses new connections from then on, in the same moment.
    pub fn then_refuse(self) -> Self {
        Self { then_refuse: true, ..self }
    }

    /// Whether it acts on what a client has just sent.
    fn look(&mut self, sent: &Sent<'_>) -> Option<Verdict> {
        let hit = match &mut self.aim {
            Aim::Number(number) => {
                *number = number.saturating_sub(sent.requests);
                *number == 0 && sent.requests > 0
            }
            Aim::Containing(all) => sent.contains_all(all),
        };
        if !hit {
            return None;
        }
        self.left -= 1;
        Some(Verdict { act: self.act, end: self.end, then_refuse: self.then_refuse })
    }
}

/// What a client has just sent.
pub(super) struct Sent<'a> {
    /// How many requests it began by that.
    pub(super) requests: u64,
    /// All that it sent since the last reply.
    pub(super) text: &'a [u8],
    /// How much of the text is new.
    pub(super) fresh: usize,
}

impl Sent<'_> {
    /// All are in the text, and one at least reaches into what is new: what passed before a trap was set, is past.
    fn contains_all(&self, all: &[Vec<u8>]) -> bool {
        let old = self.text.len() - self.fresh;
        let within =
            |text: &[u8], bytes: &[u8]| bytes.is_empty() || text.windows(bytes.len()).any(|part| part == bytes);
        all.iter().all(|bytes| within(self.text, bytes))
            && all.iter().any(|bytes| within(&self.text[old.saturating_sub(bytes.len().saturating_sub(1))..], bytes))
    }
}

/// All traps that are set.
#[derive(Debug, Default)]
pub(super) struct Traps(Vec<Trap>);

impl Traps {
    pub(super) fn set(&mut self, trap: Trap) {
        self.0.push(trap);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first that acts. All others see the request too: it counts for them.
    pub(super) fn look(&mut self, sent: &Sent<'_>) -> Option<Verdict> {
        let mut verdict = None;
        for trap in &mut self.0 {
            if verdict.is_none() {
                verdict = trap.look(sent);
            } else if let Aim::Number(number) = &mut trap.aim {
                *number = number.saturating_sub(sent.requests).max(1);
            }
        }
        self.0.retain(|trap| trap.left > 0);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(requests: u64, text: &[u8], fresh: usize) -> Sent<'_> {
        Sent { requests, text, fresh }
    }

    fn traps(trap: Trap) -> Traps {
        Traps(vec![trap])
    }

    #[test]
    fn a_number_counts_from_when_it_was_set_and_acts_once() {
        let mut traps = traps(Trap::on_request(3).cut_after());
        let hits: Vec<bool> = (0..5).map(|_| traps.look(&sent(1, b"x", 1)).is_some()).collect();
        assert_eq!(hits, [false, false, true, false, false]);
    }

    #[test]
    fn what_begins_no_request_is_no_hit() {
        let mut traps = traps(Trap::on_request(1).times(2));
        assert!(traps.look(&sent(1, b"x", 1)).is_some());
        assert!(traps.look(&sent(0, b"xy", 1)).is_none());
        assert!(traps.look(&sent(1, b"x", 1)).is_some());
    }

    #[test]
    fn several_requests_in_one_read_reach_the_number() {
        let mut traps = traps(Trap::on_request(3));
        assert!(traps.look(&sent(2, b"xx", 2)).is_none());
        assert!(traps.look(&sent(2, b"xx", 2)).is_some());
    }

    #[test]
    fn bytes_are_found_across_reads_but_not_in_what_is_past() {
        let mut traps = traps(Trap::on_request_containing(b"EVALSHA").every_time());
        assert!(traps.look(&sent(0, b"...EVALSHA", 1)).is_some());
        assert!(traps.look(&sent(1, b"EVALSHA", 7)).is_some());
        assert!(traps.look(&sent(0, b"...EVALSHA.", 1)).is_none());
    }

    #[test]
    fn several_bytes_are_all_wanted() {
        let mut traps = traps(Trap::on_request_containing(b"SET").and(b"key"));
        assert!(traps.look(&sent(1, b"SET other", 9)).is_none());
        assert!(traps.look(&sent(1, b"SET key", 7)).is_some());
    }

    #[test]
    fn the_first_of_several_acts_and_the_others_stay() {
        let mut traps = Traps(vec![Trap::on_request(1).cut_before(), Trap::on_request(1).cut_after()]);
        assert_eq!(traps.look(&sent(1, b"x", 1)).map(|verdict| verdict.act), Some(Act::Before));
        assert_eq!(traps.look(&sent(1, b"x", 1)).map(|verdict| verdict.act), Some(Act::After));
        assert!(traps.0.is_empty());
    }
}
