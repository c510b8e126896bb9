//! Spans of time, and which of them touches another.

use crate::simulation::clock::Nanos;

/// Spans by their beginnings. Each question takes two binary searches at most.
#[derive(Debug, Default)]
pub(super) struct Spans {
    spans: Vec<(Nanos, Nanos)>,
    /// The latest end among each span and those before it.
    reach: Vec<Nanos>,
}

impl Spans {
    pub(super) fn of(mut spans: Vec<(Nanos, Nanos)>) -> Self {
        spans.sort_unstable();
        let latest = |end: &mut Nanos, span: &(Nanos, Nanos)| {
            *end = span.1.max(*end);
            Some(*end)
        };
        let reach = spans.iter().scan(0, latest).collect();
        Self { spans, reach }
    }

    /// The beginning of the first span that touches this one.
    pub(super) fn touching(&self, from: Nanos, to: Nanos) -> Option<Nanos> {
        // The first that reaches so far is one that ends so late itself.
        let first = self.reach.partition_point(|end| *end < from);
        self.spans.get(first).map(|(began, _)| *began).filter(|began| *began <= to)
    }

    /// The latest end of those that began by then.
    pub(super) fn reach(&self, by: Nanos) -> Nanos {
        let next = self.spans.partition_point(|(began, _)| *began <= by);
        next.checked_sub(1).map_or(0, |last| self.reach[last])
    }

    /// The same time without overlaps: spans that touch are made one.
    pub(super) fn merged(self) -> Self {
        let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
        for (from, to) in self.spans {
            match merged.last_mut() {
                Some(last) if last.1 >= from => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self::of(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_answer_as_one_by_one() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut some = || (0..rng.usize(0..8)).map(|_| span(&mut rng)).collect::<Vec<_>>();
            let (all, (from, to)) = (some(), span(&mut rng));
            let spans = Spans::of(all.clone());
            let touching = all.iter().filter(|span| span.0 <= to && span.1 >= from).map(|span| span.0).min();
            assert_eq!(spans.touching(from, to), touching, "{from} to {to} in {all:?}");
            let reach = all.iter().filter(|span| span.0 <= to).map(|span| span.1).max();
            assert_eq!(spans.reach(to), reach.unwrap_or(0), "by {to} in {all:?}");
            let merged = spans.merged();
            assert_eq!(merged.touching(from, to).is_some(), touching.is_some());
            assert!(merged.spans.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }

    fn span(rng: &mut fastrand::Rng) -> (Nanos, Nanos) {
        let from = rng.u64(0..20);
        (from, from + rng.u64(0..6))
    }
}
