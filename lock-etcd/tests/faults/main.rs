//! What must happen when networks, servers and people interfere: on a real etcd, through a fault proxy where a network
//! is needed. Tests are named by the number of their fault.

mod access;
mod acquiring;
mod cluster;
mod compaction;
mod doctor;
mod dropped;
mod etcdctl;
mod handing_over;
mod holding;
mod load;
mod sharing;
mod streams;
mod support;
mod waiting;
