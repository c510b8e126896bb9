//! The fewest items with which something still fails.

/// How many runs this may take.
const RUNS: usize = 400;

/// Leaves out ever smaller parts as long as it still fails ("ddmin": Zeller and Hildebrandt, Simplifying and
/// Isolating Failure-Inducing Input, 2002, without its complements).
pub(super) fn shrink<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut runs = 0;
    let mut part = items.len().div_ceil(2);
    while part > 0 && runs < RUNS {
        let mut from = 0;
        let mut shorter = false;
        while from < items.len() && runs < RUNS {
            let to = (from + part).min(items.len());
            let without: Vec<T> = items[..from].iter().chain(&items[to..]).cloned().collect();
            runs += 1;
            if fails(&without) {
                items = without;
                shorter = true;
            } else {
                from = to;
            }
        }
        // Once more with the same size: what couldn't be left out before may be now.
        if !shorter || part > 1 {
            part /= 2;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_left() {
        let fails = |items: &[u32]| items.contains(&3) && items.contains(&77);
        assert_eq!(shrink((0..100).collect(), fails), [3, 77]);
    }

    #[test]
    fn what_fails_by_itself_needs_nothing() {
        assert_eq!(shrink(vec![1, 2, 3], |_| true), []);
    }
}
