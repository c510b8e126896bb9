//! The conformance kit: one line gives a backend one named test for each thing a lock's users rely on.
//!
//! Needs the feature `conformance`. In a backend's `tests/conformance.rs`:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lock_core::MemoryBackend;
//! use lock_core::conformance::{Client, Harness, HarnessError};
//!
//! struct MyHarness {
//!     store: MemoryBackend, // a directory, a key prefix, ...: something no other test uses
//! }
//!
//! impl MyHarness {
//!     async fn start() -> Result<Self, HarnessError> {
//!         Ok(Self { store: MemoryBackend::new() })
//!     }
//! }
//!
//! #[lock_core::async_trait]
//! impl Harness for MyHarness {
//!     async fn client(&self) -> Result<Client, HarnessError> {
//!         Ok(Client::of(self.store.clone()))
//!     }
//!
//!     fn ttl(&self) -> Duration {
//!         Duration::from_millis(200)
//!     }
//! }
//!
//! lock_core::conformance!(MyHarness::start);
//! # fn main() {}
//! ```
//!
//! The tests are plain `#[test]` functions in a module `conformance`, each with a tokio runtime of its own; the
//! calling crate needs no other dependency. A second store in the same file names its module:
//! `lock_core::conformance!(cluster: || MyHarness::start_with("a cluster"));`.
//!
//! A store whose leases take seconds to expire has its cases run several at once, whatever the number of cores:
//! `lock_core::conformance!(at_once(8): MyHarness::start);`. The harnesses are then started on several threads.
//!
//! # What a failure says
//! Which rule is broken, what was expected, and what was seen. A store that can't be reached fails every test.
//!
//! # What doesn't apply
//! A case that needs what a store says it doesn't have (a queue, administration, a TTL outside its range) passes and
//! prints why; the test `z_not_applicable_cases` prints them all. See them with `-- --nocapture`.
//!
//! # What isn't tested
//! Faults: servers that die, networks that break, clocks that jump. They need the store's own means.

mod admin;
mod ahead;
mod cases;
mod exclusion;
mod harness;
mod keys;
mod kit;
mod leases;
mod release;
mod rule;
mod run;
mod tokens;
mod waiting;

pub use ahead::Ahead;
pub use cases::{CASES, Case};
pub use harness::{Client, Harness, HarnessError};
pub use rule::Rule;
pub use run::{Failure, Outcome, report_not_applicable, run, run_case};

/// Makes one test for each case of the kit; see [`conformance`](mod@crate::conformance).
///
/// Takes an expression that is called to start a harness: `fn() -> impl Future<Output = Result<impl Harness, E>>`.
#[macro_export]
macro_rules! conformance {
    (at_once($threads:expr): $start:expr) => {
        #[cfg(test)]
        mod conformance {
            #[allow(unused_imports, reason = "the expression may name things of the calling module")]
            use super::*;
            static AHEAD: ::std::sync::LazyLock<$crate::conformance::Ahead> = ::std::sync::LazyLock::new(|| {
                let names = $crate::conformance::CASES.iter().map($crate::conformance::Case::name);
                $crate::conformance::Ahead::begin($threads, names, |name| $crate::conformance::run(name, $start))
            });
            $crate::__conformance_cases! { __conformance_tests_ahead [AHEAD, $start] }
        }
    };
    ($module:ident: $start:expr) => {
        #[cfg(test)]
        mod $module {
            #[allow(unused_imports, reason = "the expression may name things of the calling module")]
            use super::*;
            $crate::__conformance_cases! { __conformance_tests [$start] }
        }
    };
    ($start:expr) => {
        $crate::conformance! { conformance: $start }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$start:expr] $($module:ident $name:ident $rule:ident $needs:ident $description:literal;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::run(stringify!($name), $start);
            }
        )*

        #[test]
        fn z_not_applicable_cases() {
            $crate::conformance::report_not_applicable($start);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests_ahead {
    ([$ahead:ident, $start:expr] $($module:ident $name:ident $rule:ident $needs:ident $description:literal;)*) => {
        $(
            #[test]
            fn $name() {
                $ahead.end_of(stringify!($name));
            }
        )*

        #[test]
        fn z_not_applicable_cases() {
            $crate::conformance::report_not_applicable($start);
        }
    };
}
