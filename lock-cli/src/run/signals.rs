//! The signals that are passed on to the command.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::exit::{self, Failure};

const PASSED_ON: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// The signals that came and were not dealt with yet.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// From now on these signals don't end this process.
    ///
    /// One that is ignored stays so, here and in the command: that is what `nohup` asks for, and
    /// what a shell without job control does to a command in the background.
    pub(super) fn install() -> Result<Self, Failure> {
        let ignored = ignored_signals();
        let listen = |kind: Signal| -> io::Result<_> { Ok((kind, signal(SignalKind::from_raw(kind.as_raw()))?)) };
        let heard = PASSED_ON.into_iter().filter(|kind| ignored & (1 << (kind.as_raw() - 1)) == 0);
        heard
            .map(listen)
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|error| Failure::new(exit::UNAVAILABLE, format!("can't listen to signals: {error}")))
    }

    /// The next signal. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (kind, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// A signal that is here already.
    pub(super) async fn pending(&mut self) -> Option<Signal> {
        // The runtime takes in what came while this task was busy.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            signal = self.next() => Some(signal),
            () = std::future::ready(()) => None,
        }
    }
}

/// The mask of signals that whoever started this process had it ignore.
#[cfg(target_os = "linux")]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// There is no way to ask without unsafe code here; all are passed on.
#[cfg(not(target_os = "linux"))]
fn ignored_signals() -> u64 {
    0
}
