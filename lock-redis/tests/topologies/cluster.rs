//! Three masters, one of which is killed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::conformance::{Client, Harness, HarnessError};
use lock_core::{LockAdmin, Release, Supervisor, async_trait};
use lock_redis::RedisBackend;
use testbed::redis::{RedisCluster, RedisShards};

use crate::support::{LONG, acquire_within, granted, release, renew, request, until_waiting};

async fn client(cluster: &RedisCluster) -> RedisBackend {
    RedisBackend::cluster(cluster.addresses()).connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_spread_over_a_cluster_and_survive_the_death_of_a_master() {
    let mut cluster = RedisCluster::start().unwrap();
    let (a, b) = (client(&cluster).await, client(&cluster).await);
    let names: Vec<_> = (0..30).map(|n| format!("lock/{n}")).collect();
    let mut held = Vec::new();
    for name in &names {
        let holder = request(name, LONG);
        let grant = granted(&a, &holder).await;
        held.push((holder, grant));
    }
    assert_eq!(b.list("lock/").await.unwrap().len(), 30);
    let masters = cluster.servers().iter().filter(|server| {
        server.command(&["ROLE"]).unwrap().starts_with("master") && server.command(&["DBSIZE"]).unwrap() != "0"
    });
    assert_eq!(masters.count(), 3, "each master has some of the locks");
    // A hand-off on each.
    for (holder, grant) in &held[..6] {
        let waiter = request(holder.key().as_str(), LONG);
        let (next, ()) = tokio::join!(acquire_within(&b, &waiter, LONG), async {
            until_waiting(&a, holder.key().as_str(), 1).await;
            assert_eq!(release(&a, holder).await, Release::Released);
        });
        assert!(next.token() > grant.token());
        assert_eq!(release(&b, &waiter).await, Release::Released);
    }
    let (holder, grant) = &held[10];
    let name = format!("distlock:{}", holder.key().encoded());
    let master = cluster.master_of(&name).unwrap();
    assert_eq!(master.command(&["WAIT", "1", "5000"]).unwrap(), "1");
    master.kill().unwrap();
    // Somebody waits through the failover.
    let waiter = request(holder.key().as_str(), LONG);
    let waiting = tokio::spawn(async move { (acquire_within(&b, &waiter, LONG).await, b) });
    let mut renewed = renew(&a, holder, grant).await;
    for _ in 0..300 {
        match &renewed {
            Ok(_) => break,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        renewed = renew(&a, holder, grant).await;
    }
    assert!(matches!(renewed.unwrap(), lock_core::Renewal::Renewed(_)), "the replica had the lock");
    until_waiting(&a, holder.key().as_str(), 1).await;
    assert_eq!(release(&a, holder).await, Release::Released);
    let (next, _b) = waiting.await.unwrap();
    assert!(next.token() > grant.token(), "{} after {}", next.token(), grant.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_hang_and_a_dead_master_cost_no_lock_of_the_others() {
    let mut cluster = RedisCluster::start().unwrap();
    let victim = cluster.master_of("distlock:lock%2F0").unwrap().port();
    // Replicas of the other masters hang; the victim's own has to follow it.
    let hung: Vec<_> = cluster
        .servers()
        .iter()
        .filter(|server| {
            let role = server.command(&["ROLE"]).unwrap();
            role.starts_with("slave") && role.lines().nth(2) != Some(&victim.to_string())
        })
        .map(testbed::redis::RedisServer::port)
        .collect();
    assert_eq!(hung.len(), 2);
    let mut seeds = cluster.addresses();
    seeds.sort_by_key(|(_, port)| !hung.contains(port));
    let backend = RedisBackend::cluster(seeds).connect().await.unwrap();
    let locks = Supervisor::new(backend);
    let mut guards = Vec::new();
    for n in 0..12 {
        let name = format!("lock/{n}");
        let guard = locks.lock(&name).ttl(Duration::from_secs(6)).acquire().await.unwrap();
        let is_there = cluster.master_of(&format!("distlock:lock%2F{n}")).unwrap().port() == victim;
        guards.push((guard, is_there));
    }
    let others = guards.iter().filter(|(_, is_there)| !is_there).count();
    assert!((1..12).contains(&others));
    for server in cluster.servers().iter().filter(|server| hung.contains(&server.port())) {
        server.process().stop().unwrap();
    }
    cluster.master_of("distlock:lock%2F0").unwrap().kill().unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let held = guards.iter().filter(|(guard, is_there)| !is_there && guard.is_held()).count();
    assert_eq!(held, others, "locks of masters that live were lost");
    // And nobody waits for the nodes that hang.
    let began = std::time::Instant::now();
    locks.lock("lock/new").acquire().await.unwrap().release().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_that_hang_keep_nobody_from_the_cluster() {
    let shards = RedisShards::start(1).unwrap();
    // The kernel accepts for them, and they never say a word.
    let silent: Vec<_> = (0..5).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut seeds: Vec<_> =
        silent.iter().map(|listener| ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port())).collect();
    seeds.extend(shards.addresses());
    let backend = RedisBackend::cluster(seeds).connect().await.unwrap();
    granted(&backend, &request("k", LONG)).await;
}

static CLUSTER: LazyLock<Result<RedisCluster, String>> =
    LazyLock::new(|| RedisCluster::start().map_err(|error| format!("{error:#}")));

struct OnCluster {
    nodes: Vec<(String, u16)>,
    prefix: String,
}

impl OnCluster {
    fn start() -> Result<Self, HarnessError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let cluster = CLUSTER.as_ref().map_err(Clone::clone)?;
        let prefix = format!("case{}:", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { nodes: cluster.addresses(), prefix })
    }
}

#[async_trait]
impl Harness for OnCluster {
    async fn client(&self) -> Result<Client, HarnessError> {
        Ok(Client::of(RedisBackend::cluster(self.nodes.clone()).with_prefix(&self.prefix).connect().await?))
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(700)
    }
}

lock_core::conformance!(conformance: || std::future::ready(OnCluster::start()));
