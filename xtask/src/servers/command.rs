//! `cargo xtask images` and `cargo xtask servers`.

use anyhow::Result;

use super::{Engine, Made, Server, Servers, make};

/// Which servers.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Those of a newer suite of the distribution (Redis 8, Valkey 8, etcd 3.5) instead of those installed.
    #[arg(long)]
    newer: bool,
}

/// Each server, with its programs.
fn all(options: &Options) -> Result<Vec<(Server, Servers)>> {
    let (servers, provide): (_, fn(Server) -> Result<Servers>) = if options.newer {
        (Server::NEWER, Servers::newer)
    } else {
        (Server::ALL, |server| Servers::provide(&[server]))
    };
    servers.into_iter().map(|server| Ok((server, provide(server)?))).collect()
}

/// Makes images of all servers. Those that are there are left alone.
pub(crate) fn images(options: &Options) -> Result<()> {
    let engine = Engine::find()?;
    for (server, programs) in all(options)? {
        match make(&engine, server, &programs)? {
            Made::New(name) => println!("{name}: made"),
            Made::There(name) => println!("{name}: is there already, and is never overwritten (docker rmi {name})"),
        }
    }
    Ok(())
}

/// Shows where programs are.
pub(crate) fn servers(options: &Options) -> Result<()> {
    for (_, servers) in all(options)? {
        for (program, file) in servers.files() {
            println!("export {}='{}'", program.variable(), file.display());
        }
    }
    Ok(())
}
