//! Spans of time in order, no two of which touch: a question takes a binary search.

use super::event::Nanos;

/// From when to when.
pub(super) type Span = (Nanos, Nanos);

/// Spans by their beginnings, those that touch made one.
pub(super) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Those that touch this one.
pub(super) fn touching(spans: &[Span], (from, to): Span) -> &[Span] {
    let first = first_from(spans, from);
    let after = spans.partition_point(|span| span.0 <= to).max(first);
    walked(after - first);
    &spans[first..after]
}

/// The first that isn't over by then.
pub(super) fn first_from(spans: &[Span], from: Nanos) -> usize {
    spans.partition_point(|span| span.1 < from)
}

/// The spans, cut in two wherever a time falls into one. The times are in order.
pub(super) fn split(spans: Vec<Span>, at: &[Nanos]) -> Vec<Span> {
    let mut pieces = Vec::new();
    for (mut from, to) in spans {
        let first = at.partition_point(|time| *time <= from);
        for time in at[first..].iter().take_while(|time| **time < to) {
            walked(1);
            pieces.push((from, *time));
            from = *time;
        }
        pieces.push((from, to));
    }
    pieces
}

/// The longest span that lies within one span of each. Both are in order and don't overlap themselves.
pub(super) fn longest_common(some: &[Span], others: &[Span]) -> Option<Span> {
    let mut longest: Option<Span> = None;
    for (from, to) in some {
        let first = others.partition_point(|other| other.1 <= *from);
        for other in others[first..].iter().take_while(|other| other.0 < *to) {
            walked(1);
            let common = (other.0.max(*from), other.1.min(*to));
            if longest.is_none_or(|longest| common.1 - common.0 > longest.1 - longest.0) {
                longest = Some(common);
            }
        }
    }
    longest
}

/// So many spans are looked at. Tests count them, to see that no question walks them all.
#[cfg(test)]
fn walked(spans: usize) {
    WALKED.with(|walked| walked.set(walked.get() + spans));
}

#[cfg(not(test))]
fn walked(_: usize) {}

#[cfg(test)]
thread_local! {
    pub(super) static WALKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_touch_are_found() {
        let spans = merged(vec![(50, 60), (10, 20), (15, 30), (30, 35)]);
        assert_eq!(spans, [(10, 35), (50, 60)]);
        for (asked, found) in [((0, 9), 0..0), ((0, 10), 0..1), ((35, 49), 0..1), ((36, 49), 1..1), ((20, 99), 0..2)] {
            assert_eq!(touching(&spans, asked), &spans[found], "{asked:?}");
        }
    }

    #[test]
    fn spans_are_cut() {
        assert_eq!(
            split(vec![(0, 10), (20, 30)], &[0, 5, 10, 25, 26]),
            [(0, 5), (5, 10), (20, 25), (25, 26), (26, 30)]
        );
    }
}
