//! Ratios: of one round, and then the median of the rounds.

use crate::contest::Role;
use crate::figures::Spread;
use crate::results::{About, Of, Results};

/// The same measurement of another contestant.
pub(crate) fn same_of(of: &Of, contestant: &str) -> Of {
    Of { contestant: contestant.into(), ..of.clone() }
}

/// What each round gave of one figure, by another contestant's of the same round. `None` where either wasn't measured,
/// or failed in part: what is left of it can't be believed.
pub(crate) fn by_round(
    results: &Results,
    of: &Of,
    other: &str,
    metric: &str,
    by: impl Fn(f64, f64) -> f64,
) -> Option<Spread> {
    let other = same_of(of, other);
    if results.failure(of).or(results.failure(&other)).is_some() {
        return None;
    }
    let (one, other) = (results.rounds(of, metric)?, results.rounds(&other, metric)?);
    let rounds: Vec<f64> = one.iter().zip(other).map(|(one, other)| by(*one, *other)).collect();
    Spread::of(&rounds)
}

/// How many times the other's it is.
pub(crate) fn ratio(results: &Results, of: &Of, other: &str, metric: &str) -> Option<Spread> {
    by_round(results, of, other, metric, |one, other| one / other)
}

/// The floors that were measured of the same, the first first.
pub(crate) fn floors<'a>(results: &'a Results, of: &Of, metric: &str) -> Vec<&'a About> {
    let measured = |about: &&About| {
        results.rounds(&same_of(of, &about.name), metric).is_some_and(|rounds| Spread::of(rounds).is_some())
    };
    results.contestants.iter().filter(|about| about.role == Role::Floor).filter(measured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Kind;

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_ratios() {
        let of = |name: &str| Of { kind: Kind::Uncontended, contestant: name.into(), setting: String::new(), load: 1 };
        let mut results = Results::new("redis", "a store".into(), true);
        // The machine changed from round to round: the ratio of the medians would be 1.
        for (ours, theirs) in [(2.0, 1.0), (4.0, 2.0), (2.0, 4.0)] {
            results.add(&of("ours"), "us", ours);
            results.add(&of("theirs"), "us", theirs);
        }
        let spread = ratio(&results, &of("ours"), "theirs", "us").expect("both were measured");
        assert!((spread.median - 2.0).abs() < 1e-9, "{spread:?}");
        results.fail(of("theirs"), "it broke".into());
        assert!(ratio(&results, &of("ours"), "theirs", "us").is_none(), "what failed in part has no ratio");
    }
}
