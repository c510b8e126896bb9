//! Images made from the servers that are here, for machines that can't pull any.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use testbed::image::Image;

use super::engine::Engine;
use super::fetch::root_of;
use super::program::{Program, Server};
use super::{Servers, tree};

/// Where official images have their programs, and ours too.
const PLACE: &str = "/usr/local/bin";

/// The trusted certificates, where this system has them in one file.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Server {
    /// The image that the tests use.
    pub(crate) fn image(self) -> Image {
        match self {
            Self::Redis | Self::Valkey => Image::REDIS,
            Self::Etcd => Image::ETCD,
            Self::Consul => Image::CONSUL,
        }
    }

    /// The official name of the image of this version.
    fn official(self, version: &str) -> String {
        match self {
            Self::Redis | Self::Consul => format!("{}:{version}", self.image().repository()),
            Self::Etcd => format!("{}:v{version}", self.image().repository()),
            Self::Valkey => format!("valkey/valkey:{version}"),
        }
    }

    /// What the image says of itself, beside its files.
    fn changes(self) -> [&'static str; 2] {
        match self {
            Self::Redis | Self::Valkey => [r#"CMD ["redis-server", "--protected-mode", "no"]"#, "EXPOSE 6379"],
            Self::Etcd => [r#"CMD ["/usr/local/bin/etcd"]"#, "EXPOSE 2379 2380"],
            Self::Consul => [r#"CMD ["consul", "agent", "-dev", "-client=0.0.0.0"]"#, "EXPOSE 8500"],
        }
    }
}

/// What has become of an image that was wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    New(String),
    /// There is one of this name: it is left as it is.
    There(String),
}

impl Made {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::New(name) | Self::There(name) => name,
        }
    }
}

/// Makes an image of a server from its programs, under the official name and the real version. An image that is
/// there is never overwritten: it may be the official one.
pub(crate) fn make(engine: &Engine, server: Server, servers: &Servers) -> Result<Made> {
    if !cfg!(target_os = "linux") {
        bail!("images are made of Linux programs, and those here are none: docker pull {}", server.image().name());
    }
    let programs: Vec<(Program, &Path)> =
        servers.files().filter(|(program, _)| server.programs().contains(program)).collect();
    let (_, file) = programs.first().context("no program for the image")?;
    let name = server.official(&version(file)?);
    if engine.has(&name)? {
        return Ok(Made::There(name));
    }
    let root = tempfile::tempdir()?;
    for (program, file) in programs {
        let (from, file) = root_of(program, file);
        tree::plant(&from, &file, &Path::new(PLACE).join(program.name()), root.path())?;
        if program == Program::ValkeyServer {
            // As in the official image: it is started by either name.
            tree::copy(&file, root.path(), &Path::new(PLACE).join(Program::RedisServer.name()))?;
        }
    }
    furnish(root.path())?;
    let path = format!("ENV PATH={PLACE}:/usr/bin:/bin");
    let label = "LABEL made-by=\"cargo xtask images\"";
    let [command, ports] = server.changes();
    engine.import(root.path(), &name, &[command, ports, &path, label, "WORKDIR /data"])?;
    Ok(Made::New(name))
}

/// What programs expect of a file system beside their libraries.
fn furnish(root: &Path) -> Result<()> {
    for directory in ["tmp", "data", "etc"] {
        fs::create_dir_all(root.join(directory))?;
    }
    #[cfg(unix)]
    fs::set_permissions(root.join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    if Path::new(CERTIFICATES).exists() {
        tree::copy(Path::new(CERTIFICATES), root, Path::new(CERTIFICATES))?;
    }
    Ok(())
}

/// What the program says its version is.
pub(super) fn version(file: &Path) -> Result<String> {
    for argument in ["--version", "version"] {
        let answer = Command::new(file).arg(argument).output();
        let answer = answer.with_context(|| format!("{} can't be started", file.display()))?;
        if let Some(version) = version_in(&String::from_utf8_lossy(&answer.stdout)) {
            return Ok(version);
        }
    }
    bail!("{} doesn't tell its version", file.display())
}

/// The first three numbers with dots between.
fn version_in(text: &str) -> Option<String> {
    text.split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.split('.').filter(|part| !part.is_empty()).count() == 3 && word.split('.').count() == 3)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_each_server_prints() {
        for (said, version) in [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", Some("7.0.15")),
            ("Valkey server v=8.1.1 sha=00000000:0", Some("8.1.1")),
            ("etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.8", Some("3.4.23")),
            ("Consul v1.8.7+dfsg1\nProtocol 2 spoken by default", Some("1.8.7")),
            ("no number", None),
            ("2.0", None),
        ] {
            assert_eq!(version_in(said).as_deref(), version, "{said}");
        }
    }

    #[test]
    fn images_have_official_names_with_the_real_version() {
        assert_eq!(Server::Redis.official("7.0.15"), "redis:7.0.15");
        assert_eq!(Server::Etcd.official("3.5.16"), "quay.io/coreos/etcd:v3.5.16");
        assert_eq!(Server::Valkey.official("8.1.1"), "valkey/valkey:8.1.1");
    }

    #[test]
    fn the_tests_default_images_are_those_that_the_distributions_servers_make() {
        for server in Server::ALL {
            let name = server.image().official();
            let (repository, tag) = testbed::image::split(&name);
            assert_eq!(server.official(tag.trim_start_matches('v')), format!("{repository}:{tag}"));
        }
    }
}
