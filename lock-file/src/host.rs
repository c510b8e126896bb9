//! What the backend knows of the host: the lease clock, the wall clock, and who may compare clocks.

use std::time::{Duration, SystemTime};

use crate::os;
use crate::record::Body;

/// The clocks, and the two names that say whose clock readings may be compared with ours.
///
/// Tests set all of them.
#[derive(Debug)]
pub(crate) struct Host {
    /// This boot. Times of another boot are from another clock.
    pub(crate) boot: Option<String>,
    /// This process's time namespace, which may shift the clock by any amount.
    pub(crate) time_ns: Option<String>,
    /// When this process started, in the ticks of /proc.
    pub(crate) started: Option<u64>,
    /// Which process that is: a child forked later is another one.
    pub(crate) pid: u32,
    #[cfg(test)]
    pub(crate) hand: tests::Hand,
}

impl Host {
    /// This host.
    pub(crate) fn this() -> Self {
        Self {
            boot: os::boot_id(),
            time_ns: os::time_namespace(),
            started: os::process_started(std::process::id()),
            pid: std::process::id(),
            #[cfg(test)]
            hand: tests::Hand::default(),
        }
    }

    /// The lease clock, in nanoseconds: the same for all processes, standing still in suspend.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "in tests it has a hand on the clock"))]
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        self.hand.asked();
        let now = os::monotonic_ns();
        #[cfg(test)]
        let now = self.hand.frozen().unwrap_or(now).saturating_add_signed(self.hand.lease_clock());
        now
    }

    /// The wall clock. Nothing but tokens (as a floor) and people use it.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "in tests it has a hand on the clock"))]
    pub(crate) fn wall(&self) -> SystemTime {
        let wall = SystemTime::now();
        #[cfg(test)]
        let wall = self.hand.wall_clock(wall);
        wall
    }

    /// The wall clock in microseconds, which tokens never stay below: so they also grow when the
    /// directory was deleted, or lost its last writes in a power cut.
    pub(crate) fn wall_micros(&self) -> u64 {
        let since = self.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether the times in a record are from the clock that [`now`](Self::now) reads. Where the
    /// host can't name its boot, a record of an earlier boot compares as equal: its holder is
    /// gone, so the kernel lock frees it, and nobody alive can be taken for expired by it.
    pub(crate) fn same_clock(&self, body: &Body) -> bool {
        let same_boot = self.boot == body.boot;
        let same_namespace = self.time_ns == body.time_ns;
        same_boot && same_namespace
    }

    /// When the process with this id was started, if it is the one that opened the backend.
    pub(crate) fn started_of(&self, pid: u32) -> Option<u64> {
        self.started.filter(|_| pid == self.pid)
    }

    /// Whether the process id in a record is by now another process's here. The holder is gone
    /// then, and a child of its may have the kernel lock; or it is in a container, which numbers
    /// its processes anew. Only people are told, so nothing depends on it.
    pub(crate) fn names_a_stranger(&self, body: &Body) -> bool {
        self.boot.is_some()
            && self.boot == body.boot
            && body.started.is_some_and(|then| os::process_started(body.pid).is_some_and(|now| now != then))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A test's hand on the clocks, in nanoseconds ahead.
    #[derive(Default)]
    pub(crate) struct Hand {
        lease: AtomicI64,
        wall: AtomicI64,
        frozen: Mutex<Option<u64>>,
        when_asked: Mutex<Option<Box<dyn FnOnce() + Send>>>,
        when_probing: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    }

    impl fmt::Debug for Hand {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Hand")
        }
    }

    impl Hand {
        /// What is to happen just before the lease clock is read next.
        pub(crate) fn when_asked(&self, act: impl FnOnce() + Send + 'static) {
            *self.when_asked.lock().unwrap() = Some(Box::new(act));
        }
        /// What is to happen between the reading of a record and the probe of its kernel lock.
        pub(crate) fn when_probing(&self, act: impl FnOnce() + Send + 'static) {
            *self.when_probing.lock().unwrap() = Some(Box::new(act));
        }
        pub(crate) fn probing(&self) {
            let act = self.when_probing.lock().unwrap().take();
            if let Some(act) = act {
                act();
            }
        }
        pub(crate) fn asked(&self) {
            let act = self.when_asked.lock().unwrap().take();
            if let Some(act) = act {
                act();
            }
        }
        /// Stops the lease clock at a time.
        pub(crate) fn freeze(&self, at: u64) {
            *self.frozen.lock().unwrap() = Some(at);
        }
        pub(crate) fn frozen(&self) -> Option<u64> {
            *self.frozen.lock().unwrap()
        }
        pub(crate) fn move_lease_clock(&self, by: Duration) {
            self.lease.fetch_add(i64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
        }
        pub(crate) fn set_wall_clock_back(&self, by: Duration) {
            self.wall.fetch_add(i64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
        }
        pub(crate) fn lease_clock(&self) -> i64 {
            self.lease.load(Ordering::SeqCst)
        }
        pub(crate) fn wall_clock(&self, real: SystemTime) -> SystemTime {
            real - Duration::from_nanos(self.wall.load(Ordering::SeqCst).unsigned_abs())
        }
    }
}
