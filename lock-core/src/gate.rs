//! The resource's side of fencing.

use std::sync::{Mutex, PoisonError};

use crate::{FencingToken, OwnerId};

/// Refuses writers whose lock was granted to someone else meanwhile.
///
/// A token protects nothing until the resource checks it. Put a gate in front of what the lock
/// protects and [`admit`](Self::admit) every write. A resource that outlives the process keeps the
/// highest token with its data instead: see "Fencing to the end" in the guarantees for the same
/// check as SQL, as a Redis script and as a conditional put.
///
/// ```
/// use lock_core::{FencingGate, FencingToken, OwnerId};
///
/// let gate = FencingGate::new();
/// let (paused, successor) = (OwnerId::mint(), OwnerId::mint());
/// gate.admit(FencingToken::new(33), paused)?;
/// gate.admit(FencingToken::new(34), successor)?;
/// assert!(gate.admit(FencingToken::new(33), paused).is_err(), "it woke up too late");
/// # Ok::<(), lock_core::StaleToken>(())
/// ```
#[derive(Debug, Default)]
pub struct FencingGate {
    highest: Mutex<Option<(FencingToken, OwnerId)>>,
}

/// A write refused by a [`FencingGate`]: stop, the lock is not yours any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused a write with token {offered}: token {highest} of another grant was seen before")]
pub struct StaleToken {
    offered: FencingToken,
    highest: FencingToken,
}

impl StaleToken {
    /// The token that was refused.
    pub fn offered(&self) -> FencingToken {
        self.offered
    }
    /// The highest token seen.
    pub fn highest(&self) -> FencingToken {
        self.highest
    }
}

impl FencingGate {
    /// A gate that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A gate that goes on where one before it stopped, from what was kept with the data.
    pub fn resume(highest: FencingToken, owner: OwnerId) -> Self {
        Self { highest: Mutex::new(Some((highest, owner))) }
    }

    /// Lets a write pass if no greater token was seen, and this one from no other owner.
    ///
    /// The owner is compared, too, because a store that loses its data may grant a number twice:
    /// then only the first to write gets through, and the data stays whole.
    ///
    /// # Errors
    /// [`StaleToken`]: the write must not be done.
    pub fn admit(&self, token: FencingToken, owner: OwnerId) -> Result<(), StaleToken> {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        match *highest {
            Some((seen, _)) if token < seen => Err(StaleToken { offered: token, highest: seen }),
            Some((seen, by)) if token == seen && owner != by => Err(StaleToken { offered: token, highest: seen }),
            _ => {
                *highest = Some((token, owner));
                Ok(())
            }
        }
    }

    /// The highest token seen and its owner, to be kept with the data.
    pub fn highest(&self) -> Option<(FencingToken, OwnerId)> {
        *self.highest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_32_the_gate_binds_token_and_owner() {
        let (a, b) = (OwnerId::mint(), OwnerId::mint());
        let gate = FencingGate::resume(FencingToken::new(7), a);
        assert!(gate.admit(FencingToken::new(7), a).is_ok());
        assert_eq!(gate.admit(FencingToken::new(7), b).unwrap_err().highest().get(), 7);
        assert!(gate.admit(FencingToken::new(8), b).is_ok());
        assert_eq!(gate.admit(FencingToken::new(7), a).unwrap_err().offered().get(), 7);
        assert_eq!(gate.highest(), Some((FencingToken::new(8), b)));
    }
}
