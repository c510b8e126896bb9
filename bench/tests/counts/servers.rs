//! What an acquire + release of a free lock asks of a server, and what it allocates in the client.

use std::net::SocketAddr;

use distlock::Supervisor;
use testbed::consul::Agent;
use testbed::etcd::EtcdOptions;
use testbed::proxy::Proxy;
use testbed::redis::RedisServer;

const PAIRS: u64 = 200;

/// Of a pair.
#[derive(Debug)]
struct Counts {
    requests: f64,
    bytes_sent: u64,
    bytes_received: u64,
    /// The driver's included.
    allocations: u64,
}

impl Counts {
    /// Through a proxy that counts. `commands` asks the server itself, and its answer comes with the counts.
    fn of(scheme: &str, port: u16, mut commands: impl FnMut() -> f64) -> (Self, f64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], port)));
        let locks = runtime
            .block_on(distlock::connect(&format!("{scheme}://{}", proxy.address())))
            .expect("the server is reached");
        let pairs = |locks: &Supervisor, count| {
            runtime.block_on(async {
                for _ in 0..count {
                    locks.lock("key").acquire().await.expect("it is free").release().await.expect("it is ours");
                }
            });
        };
        pairs(&locks, PAIRS);
        let (before, done) = (proxy.counters(), commands());
        let allocated = allocation_counter::measure(|| pairs(&locks, PAIRS));
        let (after, done) = (proxy.counters(), commands() - done);
        let counts = Self {
            requests: (after.requests - before.requests) as f64 / PAIRS as f64,
            bytes_sent: (after.bytes_to_server - before.bytes_to_server) / PAIRS,
            bytes_received: (after.bytes_to_client - before.bytes_to_client) / PAIRS,
            allocations: allocated.count_total / PAIRS,
        };
        println!("{scheme}: {counts:?}, {:.2} commands at the server", done / PAIRS as f64);
        (counts, done / PAIRS as f64)
    }

    #[track_caller]
    fn are_at_most(&self, requests: f64, bytes_sent: u64, bytes_received: u64, allocations: u64) {
        // A renewal may fall into the pairs that are counted.
        assert!(self.requests <= requests + 0.1, "{self:?}");
        assert!(self.bytes_sent <= bytes_sent && self.bytes_received <= bytes_received, "{self:?}");
        assert!(self.allocations <= allocations, "{self:?}");
    }
}

/// Guards the scripts: two calls, and what they do at the server.
#[test]
fn redis() {
    let server = RedisServer::start(&[]).expect("a server");
    let commands = || {
        let counts = server.commands().expect("it counts").into_iter();
        counts.filter(|(name, _)| name != "info").map(|(_, count)| count as f64).sum()
    };
    let (counts, commands) = Counts::of("redis", server.port(), commands);
    counts.are_at_most(2.0, 640, 40, 60);
    assert!(commands <= 10.1, "{commands} commands a pair");
}

/// Guards the number of calls, each of which is a commit.
#[test]
fn etcd() {
    let server = EtcdOptions::default().start().expect("a member");
    let commands = || server.metric(0, "grpc_server_msg_received_total", "").expect("it counts");
    let (counts, commands) = Counts::of("etcd", server.port(0), commands);
    counts.are_at_most(2.0, 540, 250, 185);
    assert!(commands <= 2.1, "{commands} messages a pair");
}

/// Guards the number of requests: a session that is idle is used again.
#[test]
fn consul() {
    let agent = Agent::dev().expect("an agent");
    let (counts, _) = Counts::of("consul", agent.port(), || 0.0);
    counts.are_at_most(2.0, 920, 1_400, 180);
}
