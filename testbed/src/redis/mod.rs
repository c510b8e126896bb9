//! Real redis servers.
