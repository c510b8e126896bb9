//! Real consul servers.
