//! Saying things: answers on stdout, everything else on stderr.

use std::io::{self, ErrorKind, Write};

use crate::exit::{self, Failure};

/// Says a line on stderr. It can't fail: whoever closed stderr doesn't want to know, and that is
/// no reason to let go of a lock. (`eprintln!` would panic.)
///
/// As it is: what may hold a secret (a URL, a store's error, what was mistyped) has gone through
/// [`redact`](crate::redact) before. Done here, it would garble the names of locks as well, and
/// with them the advice.
pub(crate) fn say(message: &str) {
    say_raw(&format!("distlock: {message}"));
}

/// As [`say`], a text that introduces itself.
pub(crate) fn say_raw(message: &str) {
    let _ = writeln!(io::stderr(), "{}", message.trim_end());
}

/// Writes an answer to stdout. A reader that has gone (`| head -1`) has read enough.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::OUTPUT, format!("can't write the answer: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes an answer as JSON, one line.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(|error| Failure::new(exit::OUTPUT, error))?;
    text.push('\n');
    answer(&text)
}

/// Text of unknown origin, fit for a terminal: control characters are escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

/// A table for people: columns as wide as they need, the last one ragged.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().fold(line(head), |table, row| table + &line(row.each_ref().map(String::as_str)))
}
