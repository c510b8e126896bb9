//! Real consul servers.

mod agent;
mod cluster;
mod http;
mod tls;

pub use agent::{Agent, Settings};
pub use cluster::Cluster;
pub use http::{Answer, request};
pub use tls::Certificates;
