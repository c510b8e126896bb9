//! Real etcd servers.
