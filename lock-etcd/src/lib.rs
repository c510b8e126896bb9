//! Distlock's backend for etcd: one queue with etcdctl lock, tokens are create revisions.
