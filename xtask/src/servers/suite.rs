//! Which system this is, and from which suites of which mirror its packages come.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::program::Program;

/// The only suite of Debian that has Consul.
const WITH_CONSUL: &str = "bullseye";

/// The suite with newer servers.
const NEWER: &str = "trixie";

/// The system that this runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum System {
    Debian { suite: String },
    Ubuntu { suite: String },
    MacOs,
    Other(String),
}

impl System {
    pub(super) fn here() -> Self {
        if cfg!(target_os = "macos") {
            return Self::MacOs;
        }
        let text =
            ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|file| std::fs::read_to_string(file).ok());
        Self::of(&text.unwrap_or_default())
    }

    fn of(os_release: &str) -> Self {
        let fields: BTreeMap<_, _> = os_release.lines().filter_map(|line| line.split_once('=')).collect();
        let field = |name| fields.get(name).map(|value| value.trim_matches('"').to_owned()).unwrap_or_default();
        let suite = field("VERSION_CODENAME");
        // A child of Ubuntu has codenames of its own, and tells its parent's.
        let parent = field("UBUNTU_CODENAME");
        let ids = format!("{} {}", field("ID"), field("ID_LIKE"));
        match ids.split_whitespace().next() {
            Some("debian") => Self::Debian { suite },
            _ if ids.split_whitespace().any(|id| id == "ubuntu") => {
                Self::Ubuntu { suite: if parent.is_empty() { suite } else { parent } }
            }
            Some(id) => Self::Other(id.to_owned()),
            None => Self::Other(std::env::consts::OS.to_owned()),
        }
    }
}

/// A suite of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) name: String,
    /// The line for apt's list of sources.
    pub(super) line: String,
}

impl Suite {
    /// The suite of this system.
    pub(super) fn native() -> Result<Self> {
        match System::here() {
            System::Debian { suite } => Self::of_mirror(&suite, &suite, "main", "debian"),
            System::Ubuntu { suite } => Self::of_mirror(&suite, &suite, "main universe", "ubuntu"),
            _ => bail!("packages are fetched on Debian and Ubuntu only"),
        }
    }

    /// The suite that has this program.
    pub(super) fn with(program: Program) -> Result<Self> {
        match System::here() {
            System::Debian { suite } if program == Program::Consul => {
                Self::of_mirror(&suite, WITH_CONSUL, "main", "debian")
            }
            _ => Self::native(),
        }
    }

    /// The suite with newer servers.
    pub(super) fn newer() -> Result<Self> {
        match System::here() {
            System::Debian { suite } => Self::of_mirror(&suite, NEWER, "main", "debian"),
            _ => bail!("newer servers are fetched on Debian only"),
        }
    }

    /// A suite of the mirror that apt is configured with.
    fn of_mirror(native: &str, name: &str, components: &str, vendor: &str) -> Result<Self> {
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
        let answer = Command::new("apt-get")
            .args(["indextargets", "--format", format, "Created-By: Packages"])
            .output()
            .context("apt-get can't be started")?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let mirror = mirror(&text, native).context("apt has no source for this system's own suite")?;
        let keyring = format!("/usr/share/keyrings/{vendor}-archive-keyring.gpg");
        let keyring = std::path::Path::new(&keyring).exists().then_some(keyring.as_str());
        Ok(Self { name: name.to_owned(), line: line(mirror, keyring, name, components) })
    }
}

/// The mirror of the system's own suite; apt may know it by the name of its age.
fn mirror<'a>(targets: &'a str, suite: &str) -> Option<&'a str> {
    let names = [suite, "stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"];
    names.iter().find_map(|name| {
        targets.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [uri, release, "main"] if release == *name => Some(uri),
            _ => None,
        })
    })
}

fn line(mirror: &str, keyring: Option<&str>, suite: &str, components: &str) -> String {
    // Without a keyring of that name, apt's own trust decides.
    let options = keyring.map(|keyring| format!("[signed-by={keyring}] ")).unwrap_or_default();
    format!("deb {options}{mirror} {suite} {components}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_known_by_what_they_say_of_themselves() {
        let debian = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(System::of(debian), System::Debian { suite: "bookworm".into() });
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n";
        assert_eq!(System::of(mint), System::Ubuntu { suite: "noble".into() });
        assert_eq!(System::of("ID=fedora\n"), System::Other("fedora".into()));
        assert_eq!(System::of(""), System::Other(std::env::consts::OS.to_owned()));
    }

    #[test]
    fn the_mirror_is_the_one_of_the_systems_own_suite() {
        let targets = "http://other.example/apt stuff main\nhttp://security.example/ bookworm-security main\n\
                       http://mirror.example/debian/ bookworm main\n";
        assert_eq!(mirror(targets, "bookworm"), Some("http://mirror.example/debian/"));
        assert_eq!(
            mirror("http://mirror.example/debian/ stable main\n", "bookworm"),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(mirror("http://other.example/apt stuff main\n", "bookworm"), None);
        assert_eq!(mirror("", "bookworm"), None);
    }

    #[test]
    fn a_source_is_signed_by_its_vendors_key_where_that_is_known() {
        assert_eq!(
            line("http://m/", Some("/k.gpg"), "bullseye", "main"),
            "deb [signed-by=/k.gpg] http://m/ bullseye main\n"
        );
        assert_eq!(line("http://m/", None, "noble", "main universe"), "deb http://m/ noble main universe\n");
    }
}
