//! What the replicas write: a file that knows the greatest token it has seen, and refuses less. A database does the
//! same with a column; see docs/guarantees.md.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use distlock::FencingToken;

pub(crate) struct State {
    path: PathBuf,
}

impl State {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Counts one further, unless somebody with a greater token has written. Comparing and writing are one step: the
    /// file is locked meanwhile.
    pub(crate) fn write(&self, name: &str, token: FencingToken) -> anyhow::Result<u64> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let (fence, count) = parse(&text).context("the state's file is damaged")?;
        ensure!(token.get() >= fence, "token {token}, but {fence} has written");
        file.rewind()?;
        file.set_len(0)?;
        writeln!(file, "{token} {} {name}", count + 1)?;
        Ok(count + 1)
    }
}

/// The token that wrote last, and how far it counted.
fn parse(text: &str) -> Option<(u64, u64)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let mut words = text.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
