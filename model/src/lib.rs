//! Two models of Distlock, checked exhaustively by its ordinary tests.
//!
//! [`mod@file`] is the file backend, system call by system call; [`release`] is what the supervisor and
//! any store say to each other. Both can be run without one of their guards, and then a rule must
//! break: a check that can't fail proves nothing. See `docs/verification-model.md`.

pub mod file;
pub mod release;
