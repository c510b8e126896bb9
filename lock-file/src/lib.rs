//! File backend.
