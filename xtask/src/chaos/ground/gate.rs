//! A client's way to the servers: one proxy a server.

use std::net::SocketAddr;

use testbed::proxy::Proxy;

use crate::chaos::plan::Fault;

pub(super) struct Gate(Vec<Proxy>);

impl Gate {
    pub(super) fn to(servers: &[SocketAddr]) -> Self {
        Self(servers.iter().map(|server| Proxy::to(*server)).collect())
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(Proxy::address).collect()
    }

    pub(super) fn hurt(&self, fault: Fault) {
        for proxy in &self.0 {
            match fault {
                Fault::Cut => proxy.reset(),
                Fault::Deaf => proxy.drop_replies(),
                _ => proxy.blackhole(),
            }
        }
    }

    pub(super) fn mend(&self) {
        self.0.iter().for_each(Proxy::heal);
    }
}
