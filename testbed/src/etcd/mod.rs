//! etcd: one member or several, plain, with TLS, with users.

mod cluster;
mod ctl;
mod tls;

pub use cluster::{Etcd, EtcdOptions};
pub use ctl::Etcdctl;
pub use tls::Certificates;
