//! More than one server: Sentinel, Cluster, replicas; and servers that want to know who one is.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod certificates;
mod cluster;
mod ears;
mod moves;
mod rights;
mod sentinel;
