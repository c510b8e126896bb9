//! What has passed through the proxy.

/// Counted since the proxy's start. For assertions, and for [`Proxy::until`](super::Proxy::until).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now. Those that wait in a blackhole count once they are looked at.
    pub open: u64,
    /// Requests that clients sent, forwarded or not.
    pub requests: u64,
    /// Reads of replies: bursts of bytes from the server, passed on or not.
    pub replies: u64,
    /// Bytes that the server was given.
    pub bytes_to_server: u64,
    /// Bytes that clients were given.
    pub bytes_to_client: u64,
    /// Traps that have done their deed. Of one that cuts after a request, the deed is the cut.
    pub fired: u64,
    /// Requests that wait for their late delivery.
    pub kept: u64,
}
