//! `status`, `list` and `break`: looking at the store's locks, and taking one away.

use std::time::SystemTime;

use distlock::{BreakOutcome, FencingToken, LockRecord};
use jiff::Timestamp;

use crate::args::{BreakArgs, ListArgs, StatusArgs};
use crate::exit::{self, Failure};
use crate::holder::held_by;
use crate::json::HolderJson;
use crate::output::{answer, json, plain, say, table};
use crate::settings;

pub(crate) async fn status(args: StatusArgs) -> Result<u8, Failure> {
    let key = settings::key(&args.key)?;
    let store = distlock::open(&settings::url(&args.store)?).await?;
    let record = store.inspect(&key).await?;
    match &record {
        record if args.json => json(&record.as_ref().map(HolderJson::from))?,
        Some(record) => answer(&format!("{}\n", held_by(record, SystemTime::now())))?,
        None => answer(&format!("\"{key}\" is free\n"))?,
    }
    Ok(if record.is_some() { exit::DONE } else { exit::NO })
}

pub(crate) async fn list(args: ListArgs) -> Result<u8, Failure> {
    let prefix = args.prefix.unwrap_or_default();
    let prefix = settings::utf8("prefix", &prefix)?;
    let store = distlock::open(&settings::url(&args.store)?).await?;
    let records = store.list(prefix).await?;
    if args.json {
        json(&records.iter().map(HolderJson::from).collect::<Vec<_>>())?;
    } else if records.is_empty() {
        // Nothing on stdout: `distlock list | wc -l` counts locks.
        let those =
            if prefix.is_empty() { String::new() } else { format!(" whose name begins with \"{}\"", plain(prefix)) };
        say(&format!("no lock{those} is held"));
    } else {
        let head = ["KEY", "PID", "PROGRAM", "HOST", "SINCE (UTC)", "TOKEN", "LEFT", "LABEL"];
        answer(&table(head, &records.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(exit::DONE)
}

pub(crate) async fn take_away(args: BreakArgs) -> Result<u8, Failure> {
    let key = settings::key(&args.key)?;
    let store = distlock::open(&settings::url(&args.store)?).await?;
    match store.break_lock(&key, args.if_token.map(FencingToken::new)).await? {
        BreakOutcome::Broken(record) => {
            let held = held_by(&record, SystemTime::now()).replacen(" is held by ", " was taken away from ", 1);
            let (holder, _) = held.split_once(",\n").unwrap_or((&held, ""));
            answer(&format!("{holder}; it stops at its next renewal\n"))?;
            Ok(exit::DONE)
        }
        BreakOutcome::Free => {
            say(&format!("\"{key}\" is free: there was nothing to take away"));
            Ok(exit::NO)
        }
        BreakOutcome::TokenDiffers(record) => {
            say(&format!("not taken away, the token differs: {}", held_by(&record, SystemTime::now())));
            Ok(exit::NO)
        }
    }
}

fn row(record: &LockRecord) -> [String; 8] {
    let text = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), plain);
    let since = record.acquired_at().and_then(|at| Timestamp::try_from(at).ok());
    [
        plain(record.key().as_str()),
        record.pid().map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
        text(record.program()),
        text(record.host()),
        since.map_or_else(|| "-".to_owned(), |at| at.strftime("%F %T").to_string()),
        record.token().map_or_else(|| "-".to_owned(), |token| token.to_string()),
        record.expires_in().map_or_else(|| "-".to_owned(), |left| format!("{:.1} s", left.as_secs_f64())),
        text(record.label()),
    ]
}
