//! Where a lock is among etcd's keys: `<prefix><name>/<lease id in hex>`, as `etcdctl lock NAME` writes it.

use lock_core::{LockKey, OwnerId};

/// The lease that is granted for an owner: 63 of its random bits, never zero (which would mean "no lease").
///
/// That it follows from the owner is what makes a grant repeatable.
pub(crate) fn lease_of(owner: OwnerId) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&owner.to_bytes()[..8]);
    (i64::from_be_bytes(bytes) & i64::MAX).max(1)
}

/// The keys of one lock: those who hold it or wait for it, in one range.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    /// `<prefix><name>/`
    start: String,
}

/// The place of one owner in one lock's queue: its key bears the id of its lease.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) queue: Queue,
    pub(crate) lease: i64,
    pub(crate) key: Vec<u8>,
}

impl Queue {
    pub(crate) fn of(prefix: &str, key: &LockKey) -> Self {
        Self { start: format!("{prefix}{}/", key.encoded()) }
    }

    pub(crate) fn start(&self) -> Vec<u8> {
        self.start.clone().into_bytes()
    }

    /// The end of the range, which is not part of it: "0" follows "/".
    pub(crate) fn end(&self) -> Vec<u8> {
        format!("{}0", &self.start[..self.start.len() - 1]).into_bytes()
    }

    pub(crate) fn place(self, lease: i64) -> Place {
        let key = format!("{}{lease:x}", self.start).into_bytes();
        Place { queue: self, lease, key }
    }
}

impl Place {
    /// Where it is written that this owner gave up while requests of its were still on their way. Outside of the
    /// queue, where it would keep others out; "~" ends no encoded name.
    pub(crate) fn withdrawn(&self) -> Vec<u8> {
        let name = &self.queue.start[..self.queue.start.len() - 1];
        format!("{name}~/{:x}", self.lease).into_bytes()
    }
}

/// The lock to which a key of the store belongs; `None` for what is no place in a queue of ours.
pub(crate) fn lock_of(prefix: &str, key: &[u8]) -> Option<LockKey> {
    let text = std::str::from_utf8(key).ok()?.strip_prefix(prefix)?;
    let (name, place) = text.split_once('/')?;
    // The server's own lock writes the lease so, and so do we. Other keys of other programs are none of ours.
    let is_lease = !place.is_empty() && place.len() <= 16 && place.bytes().all(|b| b.is_ascii_hexdigit());
    LockKey::decode(name).filter(|_| is_lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_etcdctl_lock() {
        let owner = OwnerId::from_bytes([0x82, 0, 0, 0, 0, 0, 0, 0x0a, 9, 9, 9, 9, 9, 9, 9, 9]);
        let place = Queue::of("app/", &LockKey::new("a/b").unwrap()).place(lease_of(owner));
        assert_eq!(String::from_utf8(place.key.clone()).unwrap(), "app/a%2Fb/20000000000000a");
        assert_eq!(place.queue.end(), b"app/a%2Fb0");
        assert_eq!(lock_of("app/", &place.key), Some(LockKey::new("a/b").unwrap()));
        assert_eq!(lock_of("app/", &place.withdrawn()), None);
        assert!(place.withdrawn() < place.queue.start() || place.withdrawn() >= place.queue.end());
        for other in ["app/a", "app/a/", "app/a/x", "app/a/b/1", "other/a/1", "app/~/1"] {
            assert_eq!(lock_of("app/", other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn no_owner_has_lease_zero() {
        assert_eq!(lease_of(OwnerId::from_bytes([0; 16])), 1);
        assert!(lease_of(OwnerId::from_bytes([0xff; 16])) > 0);
    }
}
