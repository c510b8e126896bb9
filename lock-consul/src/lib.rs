//! Distlock's backend for Consul: sessions, and a fencing token that only rises.
