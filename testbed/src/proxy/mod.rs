//! A TCP proxy that loses, delays and cuts.
