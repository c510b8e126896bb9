//! A job that must run once a night, on two load-balanced hosts that both start it.
//!
//! ```text
//! cargo run --example nightly_job --features redis -- results redis://127.0.0.1:6379   # on both hosts
//! cargo run --example nightly_job -- results                                          # the same on one host
//! ```
//!
//! "One at a time" is not "once": a host that comes late finds the lock free again, and the job done. So the lock is
//! half of it. The other half is a marker that stands with the result: for which night it is, and with which token it
//! was written. Whoever has the lock looks at the marker first, and the marker is written only with a greater token than
//! the one that it has: so a worker that was paused in the middle, and wakes when another has done the job, changes
//! nothing.
//!
//! Here the result is a file in a directory that both share; in a database it is a row, and the rule the condition of
//! an UPDATE (see docs/guarantees.md).

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use distlock::FencingToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let results = arguments.next().context("which directory are the results in?")?;
    let marker = Path::new(&results).join("nightly");
    fs::create_dir_all(&results)?;
    let locks = match arguments.next() {
        Some(url) => distlock::connect(&url).await?,
        None => distlock::connect_from_env().await?,
    };
    let night = tonight();

    // Waits for a worker that is at it: should that one fail, it is this one's turn.
    let guard = locks.lock("jobs/nightly").ttl(Duration::from_secs(10)).acquire().await?;
    if let Some(done) = Marker::read(&marker)?.filter(|done| done.night >= night) {
        println!("night {} is done already, with token {}", done.night, done.token);
        guard.release().await?;
        return Ok(());
    }
    let token = guard.fencing_token();
    let result = guard.run(job(night)).await??;
    Marker { night, token, result }.write(&marker)?;
    println!("night {night} is done, with token {token}");
    guard.release().await?;
    Ok(())
}

/// What takes time, and must not be done twice.
async fn job(night: u64) -> anyhow::Result<String> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(format!("the figures of night {night}"))
}

/// The night's number: days since 1970, UTC.
fn tonight() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}

/// The result, and what makes "once" of "one at a time".
struct Marker {
    night: u64,
    token: FencingToken,
    result: String,
}

impl Marker {
    fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let mut lines = text.lines();
        let mut next = || lines.next().context("the marker is damaged");
        Ok(Some(Self { night: next()?.parse()?, token: next()?.parse()?, result: next()?.to_owned() }))
    }

    /// Refuses to replace what a later holder wrote. (Looking and writing are two steps here; a database makes one of
    /// them, and then nothing is left to chance.)
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(there) = Self::read(file)? {
            ensure!(there.token < self.token, "token {} is stale: {} was here", self.token, there.token);
        }
        let temporary = file.with_extension(self.token.to_string());
        fs::write(&temporary, format!("{}\n{}\n{}\n", self.night, self.token, self.result))?;
        fs::rename(&temporary, file).context("putting the result in its place")
    }
}
