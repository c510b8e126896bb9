//! Distlock's backend for Redis: first come, first served, with tokens that survive data loss.
