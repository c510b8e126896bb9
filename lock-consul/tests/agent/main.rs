//! The backend on real agents, behind a proxy that does harm, and with hands in the store behind its back.

mod access;
mod administration;
mod cluster;
mod crowd;
mod datacenters;
mod departures;
mod foreign;
mod hand_offs;
mod losses;
mod network;
mod outages;
mod preflight;
mod sharing;
mod slow;
mod support;
mod waiting;
