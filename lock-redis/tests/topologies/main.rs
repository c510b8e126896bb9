//! More than one server: Sentinel, Cluster, replicas; and servers that want to know who one is.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod cluster;
mod sentinel;
