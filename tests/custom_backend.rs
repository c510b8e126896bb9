//! The example's backend under the conformance kit, also when no example is asked for by name:
//! `cargo test` builds examples as programs, and this runs the tests in this one.

#![allow(dead_code, reason = "the example's main is run by tests/examples.rs")]

#[path = "../examples/custom_backend.rs"]
mod custom_backend;
