//! Real servers for Distlock's tests: started as processes of the test, stopped, killed, and cut off.
//!
//! A server lives as long as the value that stands for it, and never longer than the test's process.
//! One that is not installed is an error that says what to do, never a skipped test.

pub mod binary;
pub mod consul;
#[cfg(feature = "containers")]
pub mod container;
pub mod etcd;
pub mod image;
pub mod port;
pub mod process;
pub mod proxy;
pub mod redis;

pub use process::{Process, Program};
