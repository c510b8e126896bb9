//! Counts that must not grow: regressions of speed that no clock is needed for.
//!
//! Each bound is a little above what is counted today. Who makes something cheaper lowers its bound.

mod allocations;
#[cfg(target_os = "linux")]
mod held;
mod servers;
#[cfg(target_os = "linux")]
mod syscalls;
