//! The guards of the scheme. Each can be taken out of the model, to see what breaks without it.

/// A guard, by what the code does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `acquire.rs`, `publish`: after publishing N+1 it lists, and N+1 must be the highest.
    ListAfterPublish,
    /// The same where the directory was empty.
    ListAfterFirst,
    /// `acquire.rs`, `publish`: and what it assessed must still be at N.
    LookAfterPublish,
    /// `acquire.rs`, `publish`: what was published too late is left to be swept.
    LateIsLeft,
    /// `os::publish`: fails if the number is taken.
    PublishDoesNotReplace,
    /// `acquire.rs`, `next_token`: above the last one.
    TokenAboveTheLast,
    /// `slot.rs`, `sweep`: in ascending order.
    SweepAscends,
    /// `look.rs`, `assess`: the clock is read before the record.
    ClockBeforeRecord,
    /// `look.rs`, `assess`: the kernel lock is asked for as well.
    KernelLockIsProbed,
    /// `os::nobody_locks`: the probe is a shared lock.
    ProbeIsShared,
    /// `look.rs`, `assess`: the record is read again after the probe.
    ReadAgainAfterProbe,
    /// `held.rs`, `renew`: no successor is at N+1.
    RenewLooksForSuccessor,
    /// `held.rs`, `renew`: its file is still at N.
    RenewLooksForItself,
    /// `held.rs`, `renew`: the old deadline has not passed.
    RenewBeforeOldDeadline,
    /// `held.rs`, `release`: nobody succeeded it.
    ReleaseLooks,
    /// `held.rs`, `release`: the file that is written is its own.
    ReleaseWritesItsOwn,
    /// `held.rs`, `release`: the released record stays.
    ReleasedStays,
    /// `reuse.rs`, `keep`: only if all older generations were swept.
    ForwardOnlyIfSwept,
    /// `reuse.rs`, `take_forward`: the look after the renaming.
    LookAfterForward,
    /// `admin.rs`, `break_once`: what it publishes says that it is held until it has looked again.
    BreakIsHeldUntilLookedAt,
    /// `admin.rs`, `break_once`: one that was stopped for too long doesn't try again.
    BreakEndsWhenOver,
    /// `schedule.rs`, `deadline`: counted from the sending of the request.
    BeliefFromSending,
}
