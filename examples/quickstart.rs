//! Takes a lock, works as long as it is held, and releases it.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! You see the fencing token of the grant and, three seconds later, the report. Start it in two
//! terminals: the second waits for the first, and its token is greater. `DISTLOCK_URL` names
//! another store than the default, a directory of this user.
//!
//! To see a loss, take the lock away from another terminal while it works, with
//! `distlock break reports/nightly`. At the next renewal, after a third of the TTL at the latest,
//! the work is dropped and the program ends with "the lock "reports/nightly" (token 17) was lost:
//! ...".

use std::time::Duration;

use distlock::FencingToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // quickstart: begin
    let locks = distlock::connect_from_env().await?;
    let guard = locks.lock("reports/nightly").ttl(Duration::from_secs(5)).acquire().await?;
    // The lease is renewed in the background. Should the lock be lost all the same, the work is
    // dropped and the first `?` returns why; the second is for the work's own errors.
    let report = guard.run(build_report(guard.fencing_token())).await??;
    // Says also whether it was still ours: a loss after the last renewal isn't known before.
    guard.release().await?;
    // quickstart: end
    println!("{report}");
    Ok(())
}

/// Hands the token to everything it writes to; see `fenced_writes.rs` for what they do with it.
async fn build_report(token: FencingToken) -> anyhow::Result<String> {
    println!("building the report with token {token}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(format!("the report of token {token} is done"))
}
