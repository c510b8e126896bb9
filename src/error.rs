//! Why a store could not be opened.

use lock_core::BackendError;

/// Why [`connect`](crate::connect) gave no supervisor. Never contains a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is not a URL that names a store.
    #[error("the lock store's URL can't be used: {why}; {known}", known = crate::connect::known())]
    InvalidUrl {
        /// What is wrong with it.
        why: String,
    },
    /// No backend has this scheme.
    #[error("no lock store is known for \"{scheme}:\"; {known}", known = crate::connect::known())]
    UnknownScheme {
        /// The scheme that was asked for.
        scheme: String,
    },
    /// The backend has no such parameter.
    #[error("\"{scheme}:\" has no parameter \"{name}\"; it has {known}")]
    UnknownParameter {
        /// The URL's scheme.
        scheme: &'static str,
        /// The parameter that was given.
        name: String,
        /// The parameters that the backend has.
        known: &'static str,
    },
    /// A parameter's value makes no sense.
    #[error("the parameter \"{name}\" of \"{scheme}:\" can't be \"{value}\": {why}")]
    InvalidParameter {
        /// The URL's scheme.
        scheme: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// An environment variable can't be read.
    #[error("the environment variable {name} is not valid Unicode; unset it or set it to a URL")]
    Environment {
        /// The variable.
        name: &'static str,
    },
    /// The store can't be reached, refused us, or isn't fit for locks.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
