//! The query parameters of a URL.

use url::Url;

use super::invalid;
use crate::ConnectError;

/// A value that makes no sense.
pub(super) fn bad_value(scheme: &'static str, name: &'static str, value: &str, why: &str) -> ConnectError {
    ConnectError::InvalidParameter { scheme, name, value: value.to_owned(), why: why.to_owned() }
}

/// The parameters in their order, percent-decoded. The same one twice is an error: which would be meant?
pub(super) fn parameters(url: &Url) -> Result<Vec<(String, String)>, ConnectError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in url.query_pairs() {
        if pairs.iter().any(|(seen, _)| *seen == name) {
            return Err(invalid(format!("the parameter \"{name}\" is given twice")));
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Ok(pairs)
}
