//! What a holder says of itself.

use std::sync::{Arc, OnceLock};

/// What a holder says of itself, for people who find the lock taken.
///
/// None of it decides anything: a process id may be used again by another process, and a host
/// name may be that of a container. Exclusion rests on leases, owners and tokens alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderInfo {
    host: String,
    pid: u32,
    program: String,
    label: Option<Label>,
}

impl HolderInfo {
    /// This process: the host's name, the process id, and the name of the program that runs.
    pub fn this_process() -> Self {
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            program: program_name(),
            label: None,
        }
    }

    /// This process, shared: looked up once a process.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<HolderInfo>> = OnceLock::new();
        let info = SHARED.get_or_init(|| Arc::new(Self::this_process()));
        // A forked child is another process than the one that looked.
        if info.pid == std::process::id() { info.clone() } else { Arc::new(Self::this_process()) }
    }

    /// Another program name, such as that of the command which a wrapper runs.
    pub fn with_program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// A note for people, such as the deployment's name.
    pub fn with_label(mut self, label: Label) -> Self {
        self.label = Some(label);
        self
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The process id, in the namespace that the holder lives in.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The note for people.
    pub fn label(&self) -> Option<&str> {
        self.label.as_ref().map(Label::as_str)
    }
}

fn program_name() -> String {
    let path = std::env::current_exe().ok().or_else(|| std::env::args_os().next().map(Into::into));
    path.as_deref()
        .and_then(std::path::Path::file_name)
        .map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A note that a holder leaves for people: at most [`Label::MAX_LEN`] bytes of UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

/// A label that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a label may have at most {max} bytes, this one has {len}", max = Label::MAX_LEN)]
pub struct InvalidLabel {
    len: usize,
}

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Checks a text and makes it a label.
    ///
    /// # Errors
    /// [`InvalidLabel`] when it is longer than [`Label::MAX_LEN`] bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidLabel> {
        let text = text.into();
        if text.len() > Self::MAX_LEN {
            return Err(InvalidLabel { len: text.len() });
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_bounded() {
        assert!(Label::new("x".repeat(Label::MAX_LEN)).is_ok());
        assert_eq!(Label::new("x".repeat(Label::MAX_LEN + 1)), Err(InvalidLabel { len: 257 }));
    }
}
