//! The store that a run stands on, and what can be done to it: cut off, stopped, killed, emptied.

mod consul;
mod directory;
mod etcd;
mod gate;
mod redis;
mod servers;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distlock::LockKey;

use super::Backend;
use super::client::nanos;
use super::event::{Deed, Nanos};
use super::journal::now;
use super::plan::{Fault, Hazard};
use directory::Directory;
use gate::Gate;
use servers::Servers;

/// What a backend's run needs to know of its store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The TTL, unless one is asked for.
    pub(super) ttl: Duration,
    /// How many TTLs an abandoned lease may live.
    pub(super) reaped_within: u32,
    /// Whoever is first in the queue holds the lock at the store, alive or not.
    pub(super) waiters_may_hold: bool,
    /// How long the store needs, after a server was away, until it serves everybody again.
    pub(super) settles_within: Duration,
    /// How long a store is left alone after a server was away.
    rest: Duration,
}

impl Terms {
    pub(super) fn of(backend: Backend) -> Self {
        let (millis, reaped_within, settle, rest) = match backend {
            Backend::File => (300, 1, 0, 0),
            Backend::Redis => (500, 1, 2_000, 2_000),
            Backend::Etcd => (2_000, 1, 6_000, 6_000),
            // Consul reaps a session within twice its TTL.
            Backend::Consul => (10_000, 2, 10_000, 15_000),
        };
        Self {
            ttl: Duration::from_millis(millis),
            reaped_within,
            waiters_may_hold: backend != Backend::File,
            settles_within: Duration::from_millis(settle),
            rest: Duration::from_millis(rest),
        }
    }
}

/// A store, and the gates through which the clients reach it.
pub(super) struct Ground {
    site: Site,
    gates: Vec<Gate>,
    terms: Terms,
    ills: Vec<Ill>,
    /// When servers may be hurt again.
    rested: Nanos,
}

enum Site {
    Directory(Directory),
    Servers(Box<dyn Servers>),
}

/// Something that ails the store or the way to it.
struct Ill {
    fault: Fault,
    at: At,
    /// When it is mended.
    until: Nanos,
    mended: bool,
    /// When everything must be well again.
    well: Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Gate(usize),
    Server(usize),
}

/// What a lock's removal took away.
pub(super) struct Removal {
    pub(super) before: Nanos,
    pub(super) after: Nanos,
    pub(super) tokens: Vec<u64>,
}

impl Ground {
    /// Starts the store, and a gate for each client.
    pub(super) fn prepare(backend: Backend, directory: &Path, places: usize) -> Result<Self> {
        let terms = Terms::of(backend);
        let site = match backend {
            Backend::File => Site::Directory(Directory::new(directory)?),
            Backend::Redis => Site::Servers(Box::new(redis::Redis::start()?)),
            Backend::Etcd => Site::Servers(Box::new(etcd::Etcd::start()?)),
            Backend::Consul => Site::Servers(Box::new(consul::Consul::start()?)),
        };
        let gates = match &site {
            Site::Directory(_) => Vec::new(),
            Site::Servers(servers) => (0..places).map(|_| Gate::to(&servers.addresses())).collect(),
        };
        Ok(Self { site, gates, terms, ills: Vec::new(), rested: 0 })
    }

    /// The driver's own way to the store, which is never cut off.
    pub(super) fn url(&self) -> String {
        match &self.site {
            Site::Directory(directory) => directory.url(),
            Site::Servers(servers) => servers.url(&servers.addresses()),
        }
    }

    /// The way of the client in this place.
    pub(super) fn url_for(&self, place: usize) -> String {
        match &self.site {
            Site::Directory(directory) => directory.url(),
            Site::Servers(servers) => servers.url(&self.gates[place].addresses()),
        }
    }

    /// What may happen here beyond what happens to clients.
    pub(super) fn hazards(&self, seed: u64, clocks_are_set: bool) -> Vec<Hazard> {
        let (remove, clocks) = (Hazard::new(Fault::Remove, 3, 0.0, 0.0), Hazard::new(Fault::ClockJump, 3, 0.0, 1.0));
        let mut hazards = vec![remove];
        match &self.site {
            // A directory's tokens survive its removal by the clients' wall clocks: one of the two at a time.
            Site::Directory(_) if clocks_are_set && seed.is_multiple_of(2) => return vec![clocks],
            Site::Directory(_) => return hazards,
            Site::Servers(_) => hazards.extend([
                Hazard::new(Fault::Partition, 10, 0.1, 2.0),
                Hazard::new(Fault::Cut, 8, 0.0, 0.0),
                Hazard::new(Fault::Deaf, 8, 0.05, 0.8),
                Hazard::new(Fault::ServerKill, 5, 0.2, 2.0),
                Hazard::new(Fault::ServerStop, 5, 0.1, 2.0),
            ]),
        }
        hazards.extend(clocks_are_set.then_some(clocks));
        hazards
    }

    /// Does something to a client's way, or to a server. `None`: it was not the time.
    pub(super) fn hurt(&mut self, fault: Fault, place: usize, until: Nanos) -> Result<Option<Deed>> {
        let Site::Servers(servers) = &mut self.site else { return Ok(None) };
        let is_server = matches!(fault, Fault::ServerKill | Fault::ServerStop);
        let at = if is_server { At::Server(servers.victim(fault)?) } else { At::Gate(place) };
        let busy = self.ills.iter().any(|ill| ill.at == at || (is_server && matches!(ill.at, At::Server(_))));
        if busy || (is_server && now() < self.rested) {
            return Ok(None);
        }
        match at {
            At::Gate(place) => self.gates[place].hurt(fault),
            At::Server(server) => servers.hurt(server, fault)?,
        }
        let ill = Ill { fault, at, until, mended: false, well: Nanos::MAX };
        let deed = Deed::Trouble { what: ill.name(), place: ill.place() };
        self.ills.push(ill);
        Ok(Some(deed))
    }

    /// Mends what is due (all of it, if `all`), and answers what is well again.
    pub(super) fn mend(&mut self, all: bool) -> Result<Vec<Deed>> {
        let Site::Servers(servers) = &mut self.site else { return Ok(Vec::new()) };
        let time = now();
        for ill in self.ills.iter_mut().filter(|ill| !ill.mended && (all || time >= ill.until)) {
            match ill.at {
                At::Gate(place) => self.gates[place].mend(),
                At::Server(server) => {
                    servers.mend(server, ill.fault)?;
                    self.rested = now() + nanos(self.terms.settles_within + self.terms.rest);
                }
            }
            (ill.mended, ill.well) = (true, now() + nanos(self.terms.settles_within));
        }
        let (well, ill) = std::mem::take(&mut self.ills).into_iter().partition(|ill| time >= ill.well);
        self.ills = ill;
        Ok(well.iter().map(|ill: &Ill| Deed::Well { what: ill.name(), place: ill.place() }).collect())
    }

    /// Whether anything ails.
    pub(super) fn is_well(&self) -> bool {
        self.ills.is_empty()
    }

    /// Deletes all that the store knows of a lock.
    pub(super) async fn remove(&mut self, key: &LockKey) -> Result<Option<Removal>> {
        match &mut self.site {
            Site::Directory(directory) => directory.remove(key),
            // A store that is away has nothing removed from it.
            Site::Servers(_) if self.ills.iter().any(|ill| matches!(ill.at, At::Server(_))) => Ok(None),
            Site::Servers(servers) => {
                let before = now();
                let tokens = servers.remove(key).await?;
                Ok(Some(Removal { before, after: now(), tokens }))
            }
        }
    }
}

impl Ill {
    fn name(&self) -> String {
        match self.at {
            At::Gate(place) => format!("{} of {place}", self.fault.name()),
            At::Server(server) => format!("{} of server {server}", self.fault.name()),
        }
    }

    /// Whom it troubles: one client, or all.
    fn place(&self) -> Option<usize> {
        match self.at {
            At::Gate(place) => Some(place),
            At::Server(_) => None,
        }
    }
}
