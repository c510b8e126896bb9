//! What to do by hand where a server can't be fetched.

use std::fmt::Write;

use super::program::Program;
use super::suite::System;

/// Says which programs are missing, what was tried, and what to do on this system.
pub(super) fn for_the_missing(missing: &[Program], error: &anyhow::Error) -> String {
    text(missing, error, &System::here())
}

fn text(missing: &[Program], error: &anyhow::Error, system: &System) -> String {
    let mut text = String::from("the tests need servers that are not here:\n");
    for program in missing {
        let _ = writeln!(text, "  {:13} ({} names another file)", program.name(), program.variable());
    }
    let _ = write!(text, "They could not be fetched: {error:#}\n\nWhat to do:\n  ");
    let line = match system {
        System::MacOs => "brew install redis etcd hashicorp/tap/consul",
        System::Debian { .. } | System::Ubuntu { .. } => {
            "apt-get install redis-server redis-tools etcd-server etcd-client   (and disable their services)\n  \
             consul: in Debian's suite bullseye, or the program of HashiCorp's releases"
        }
        System::Other(name) => match name.as_str() {
            "fedora" | "rhel" => "dnf install valkey etcd; consul: the program of HashiCorp's releases",
            "arch" => "pacman -S valkey etcd consul",
            "alpine" => "apk add redis etcd etcd-ctl consul",
            _ => {
                "install Redis (or Valkey), etcd and Consul by your system's packages or from their projects' releases"
            }
        },
    };
    let _ = write!(
        text,
        "{line}\n  or name the programs' files in the variables above\n\n\
         What needs no server runs without: cargo xtask test -p lock-core -p lock-file"
    );
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn it_names_each_program_its_variable_what_failed_and_what_to_do() {
        for (system, advice) in [
            (System::MacOs, "brew install redis etcd"),
            (System::Debian { suite: "bookworm".into() }, "apt-get install redis-server"),
            (System::Other("arch".into()), "pacman -S"),
            (System::Other("plan9".into()), "releases"),
        ] {
            let error = anyhow!("no network").context("apt-get update failed");
            let text = text(&[Program::Etcd, Program::Consul], &error, &system);
            for part in ["etcd", "DISTLOCK_ETCD", "DISTLOCK_CONSUL", "no network", advice, "-p lock-core"] {
                assert!(text.contains(part), "{part:?} is not in:\n{text}");
            }
        }
    }
}
