//! Figures: percentiles, CPU time and memory of a process, the clock that processes share.

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// The value below which `percent` of the samples lie. Sorts them.
pub(crate) fn percentile(samples: &mut [f64], percent: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the samples")]
    let index = ((samples.len() - 1) as f64 * percent / 100.0).round() as usize;
    samples[index]
}

/// `p50 12.3 (min 11.0, max 14.0)`, of several rounds' medians.
pub(crate) fn rounds(mut medians: Vec<f64>) -> String {
    let (min, max) = (percentile(&mut medians, 0.0), percentile(&mut medians, 100.0));
    format!("{:8.2} (min {min:.2}, max {max:.2})", percentile(&mut medians, 50.0))
}

/// Nanoseconds on the monotonic clock, which all processes of a host share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// CPU time of process `pid` since it began (all of its threads), from `/proc`.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    // schedstat counts nanoseconds, per thread.
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of this process in bytes, from `/proc`.
pub(crate) fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
