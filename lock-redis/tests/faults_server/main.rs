//! What can go wrong in a server: scripts flushed, data lost, memory full, wrong types, other states.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod data;
mod half_way;
mod memory;
mod messages;
mod states;
mod strangers;
mod tokens;
mod waiters;
