//! As much HTTP as a test needs to look behind a backend's back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// What an agent answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks the agent on `port` of this host, and waits for ten seconds at most. Blocks the thread.
///
/// # Errors
/// When it can't be reached or answers nonsense.
pub fn request(port: u16, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let token = token.map_or_else(String::new, |token| format!("X-Consul-Token: {token}\r\n"));
    let length = body.len();
    // HTTP/1.0, so that the body ends where the connection does.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{token}Content-Length: {length}\r\n\r\n{body}")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the headers")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok(Answer { status, body: body.to_owned() })
}
