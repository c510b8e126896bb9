//! Locks on a real redis-server. Each benchmark starts its own, and compares with the bare driver on the same one.

mod handoff;
mod held;
mod throughput;
mod uncontended;

use distlock::Supervisor;
use lock_redis::RedisBackend;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script};

#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Acquire + release of a free lock, against two raw EVALSHA and against the crate rslock
    Uncontended(uncontended::Options),
    /// Many tasks, each with a key of its own, against as many raw EVALSHA
    Throughput(throughput::Options),
    /// From a release to the next grant, against a token passed round with BLPOP
    Handoff(handoff::Options),
    /// Many locks held and renewed: CPU of the client
    Held(held::Options),
    /// One of the processes of `handoff`
    #[command(hide = true)]
    Worker(handoff::Worker),
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Uncontended(options) => uncontended::run(options),
        Bench::Throughput(options) => throughput::run(options),
        Bench::Handoff(options) => handoff::run(options),
        Bench::Held(options) => held::run(options),
        Bench::Worker(options) => handoff::work(options),
    }
}

async fn supervisor(port: u16) -> anyhow::Result<Supervisor> {
    Ok(Supervisor::new(RedisBackend::server("127.0.0.1", port).connect().await?))
}

/// The driver as the backend uses it, with nothing on top.
async fn driver(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3"))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_pipeline_buffer_size(1024);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// The least that a lock on Redis can be: set if absent, delete if one's own. No token, no queue, no record.
struct Floor {
    acquire: Script,
    release: Script,
}

impl Floor {
    async fn load(connection: &mut MultiplexedConnection) -> anyhow::Result<Self> {
        let acquire = Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])");
        let release =
            Script::new("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0");
        acquire.load_async(connection).await?;
        release.load_async(connection).await?;
        Ok(Self { acquire, release })
    }

    async fn pair(&self, connection: &mut MultiplexedConnection, key: &str, owner: &str) -> anyhow::Result<()> {
        let set: Option<String> =
            self.acquire.prepare_invoke().key(key).arg(owner).arg(15_000).invoke_async(connection).await?;
        anyhow::ensure!(set.is_some(), "the floor's lock was held");
        let deleted: i64 = self.release.prepare_invoke().key(key).arg(owner).invoke_async(connection).await?;
        anyhow::ensure!(deleted == 1, "the floor's lock was lost");
        Ok(())
    }
}
