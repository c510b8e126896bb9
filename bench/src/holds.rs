//! Who held a lock when, and what that tells of its hand-offs.

use std::collections::HashMap;

use crate::figures::percentile;

/// One hold: when it was granted, when its release began, and whose it was.
pub(crate) struct Hold {
    pub(crate) granted: u64,
    pub(crate) released: u64,
    pub(crate) process: usize,
    pub(crate) task: usize,
}

/// What they tell.
pub(crate) struct Figures {
    /// Grants to another contender than the one that had just released: those that went back are no hand-offs.
    pub(crate) hand_offs: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The share of grants that went to the one that had just released.
    pub(crate) back: f64,
    pub(crate) same_process: f64,
    pub(crate) least_to_most: f64,
    /// Grants before the last holder had called its release.
    pub(crate) overlaps: usize,
}

impl Figures {
    /// `holds` in the order of their grants, by so many contenders.
    pub(crate) fn of(holds: &[Hold], contenders: usize) -> Self {
        let contender = |hold: &Hold| (hold.process, hold.task);
        let (mut between, mut back, mut same_process, mut overlaps) = (Vec::new(), 0, 0, 0);
        let (mut grants, mut busy_until) = (HashMap::new(), 0);
        for hold in holds {
            *grants.entry(contender(hold)).or_insert(0_u32) += 1;
            overlaps += usize::from(hold.granted < busy_until);
            busy_until = busy_until.max(hold.released);
        }
        for pair in holds.windows(2) {
            same_process += u32::from(pair[0].process == pair[1].process);
            if contender(&pair[0]) == contender(&pair[1]) {
                back += 1;
            } else {
                between.push(pair[1].granted.saturating_sub(pair[0].released) as f64 / 1e6);
            }
        }
        let seconds = match holds {
            [first, .., last] => (last.granted - first.granted) as f64 / 1e9,
            _ => f64::NAN,
        };
        // Who was granted nothing isn't among them.
        let least = if grants.len() < contenders { 0 } else { grants.values().copied().min().unwrap_or(0) };
        let most = grants.values().copied().max().unwrap_or(1);
        let share = |count: u32| f64::from(count) * 100.0 / holds.len().saturating_sub(1).max(1) as f64;
        Self {
            hand_offs: holds.len() - back as usize,
            per_second: between.len() as f64 / seconds,
            p50: percentile(&mut between, 50.0),
            p99: percentile(&mut between, 99.0),
            back: share(back),
            same_process: share(same_process),
            least_to_most: f64::from(least) / f64::from(most),
            overlaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Hold};

    fn hold(process: usize, granted: u64, released: u64) -> Hold {
        Hold { granted, released, process, task: 0 }
    }

    #[test]
    fn a_grant_that_goes_back_is_no_hand_off() {
        const MS: u64 = 1_000_000;
        let figures = Figures::of(&[hold(0, 0, MS), hold(0, 2 * MS, 3 * MS), hold(1, 5 * MS, 6 * MS)], 2);
        assert!((figures.p50 - 2.0).abs() < 1e-9, "{}", figures.p50);
        assert!((figures.back - 50.0).abs() < 1e-9, "{}", figures.back);
        assert!((figures.least_to_most - 0.5).abs() < 1e-9, "{}", figures.least_to_most);
        assert_eq!((figures.overlaps, figures.hand_offs), (0, 2));
    }

    #[test]
    fn two_that_hold_at_once_are_counted() {
        let figures = Figures::of(&[hold(0, 0, 10), hold(1, 2, 3), hold(0, 5, 6), hold(1, 11, 12)], 3);
        assert_eq!(figures.overlaps, 2);
        // A third contender was granted nothing.
        assert!(figures.least_to_most.abs() < 1e-9, "{}", figures.least_to_most);
    }
}
