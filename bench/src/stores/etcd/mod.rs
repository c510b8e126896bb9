//! One etcd member. TMPDIR chooses the file system of its data: each commit is synced to it.

mod bare_queue;
mod floor;
mod lock_rpc;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use distlock::Supervisor;
use lock_etcd::EtcdBackend;
use testbed::etcd::{Etcd, EtcdOptions};
use testbed::proxy::Proxy;

use crate::contest::{Client, Contestant, Counted, Kind, Lack, Ours, Place, Program, Role, Store, Way, ours};

pub(crate) struct Member(Etcd);

impl Member {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(EtcdOptions::default().start()?))
    }
}

impl Store for Member {
    fn url(&self) -> String {
        self.0.url()
    }

    fn version(&self) -> String {
        let version = self.0.ctl().and_then(|ctl| ctl.run(&["endpoint", "status", "-w", "fields"])).unwrap_or_default();
        let version = version.lines().find_map(|line| line.strip_prefix("\"Version\" : ")).unwrap_or("?");
        format!("etcd {}, one member on this host, commits synced", version.trim_matches('"'))
    }

    /// Whole seconds, and no less than the floor of our backend.
    fn shortest_ttl(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn pairs(&self) -> u32 {
        1_000
    }

    fn too_many(&self, contestant: &str, locks: u64) -> Option<String> {
        match contestant {
            "distlock" if locks > 10_000 => Some("a lease each: 10,000 a second to renew, more than a core".into()),
            "tooz" if locks > 1_000 => Some("one request after the other, in Python".into()),
            _ if locks > 10_000 => Some("a minute of commits to acquire and to release them".into()),
            _ => None,
        }
    }

    fn programs(&self) -> Vec<Program> {
        let (url, ctl) = (self.url(), self.0.ctl());
        let mut programs = vec![Program {
            name: crate::results::OUR_COMMAND,
            lacks: &[],
            note: "",
            command: Box::new(move || {
                let mut command = std::process::Command::new(crate::process::distlock());
                command.args(["run", "--url", &url, "bench", "--", "true"]);
                command
            }),
        }];
        if let Ok(ctl) = ctl {
            programs.push(Program {
                name: "etcdctl lock",
                lacks: &[Lack::Token, Lack::Metadata, Lack::LossNotice],
                note: "the command runs on when the lease is lost",
                command: Box::new(move || ctl.command(&["lock", "bench-ctl", "true"])),
            });
        }
        programs
    }

    fn servers(&self) -> Vec<u32> {
        self.0.pid(0).and_then(|pid| u32::try_from(pid).ok()).into_iter().collect()
    }

    /// Messages received, those on streams included.
    fn commands(&self) -> Result<Option<u64>> {
        let received = self.0.metric(0, "grpc_server_msg_received_total", "")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Ok(Some(received as u64))
    }

    fn counted(&self) -> Result<Option<Counted>> {
        let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], self.0.port(0))));
        Ok(Some(Counted { url: format!("etcd://{}", proxy.address()), proxy }))
    }
}

pub(crate) fn contestants() -> Vec<Contestant> {
    let mut all = vec![ours(), shared_leases(), floor::put_and_delete(), floor::delete_to_event()];
    all.extend([bare_queue::bare_queue(), lock_rpc::lock_rpc(), lock_rpc::a_lease_each()]);
    all.push(Contestant {
        name: "tooz",
        role: Role::Peer,
        lacks: &[Lack::Token, Lack::Metadata, Lack::LossNotice, Lack::WakeUp, Lack::Order, Lack::AsyncWaiting],
        note: "its etcd3gw driver: over etcd's HTTP gateway; renews in the background (start_heart=True)",
        way: Way::Python("tooz"),
        skips: &[(Kind::Throughput, "one thread a task, in Python")],
    });
    all
}

fn endpoint(place: &Place) -> String {
    place.url.trim_start_matches("etcd://").to_owned()
}

/// For holders of thousands of locks: a lease isn't one lock's alone.
fn shared_leases() -> Contestant {
    const SAME: &str = "the same as without sharing but for the lease";
    Contestant {
        name: "distlock, shared leases",
        role: Role::Ours,
        lacks: &[],
        note: "opt-in",
        way: Way::Client(|place| {
            Box::pin(async move {
                let backend = EtcdBackend::builder([endpoint(&place)]).with_shared_leases().build()?;
                Ok(Arc::new(Ours { locks: Supervisor::new(backend), ttl: place.ttl() }) as Arc<dyn Client>)
            })
        }),
        skips: &[(Kind::Handoff, SAME), (Kind::Recovery, SAME), (Kind::Waiting, SAME)],
    }
}
