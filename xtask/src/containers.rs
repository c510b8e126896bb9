//! Whether the tests in containers can be run, and with which images.

use anyhow::{Context, Result};

use crate::servers::{Engine, Server, Servers, make};

/// The images for the tests, or why there are none.
pub(crate) enum Containers {
    /// Nothing that is tested has tests in containers.
    NotNeeded,
    There {
        version: String,
        images: Vec<(&'static str, String)>,
    },
    Missing(anyhow::Error),
}

impl Containers {
    /// Images that the engine has under the names that the environment or the tests say; those that it hasn't are
    /// made from the servers that are here.
    pub(crate) fn provide(wanted: &[Server], servers: &Servers) -> Self {
        let choose = |engine: &Engine, server: Server| {
            let name = server.image().name();
            if engine.has(&name)? { Ok(name) } else { Ok(make(engine, server, servers)?.name().to_owned()) }
        };
        Self::of(wanted, choose)
    }

    /// The image of exactly this server.
    pub(crate) fn made_of(server: Server, servers: &Servers) -> Self {
        Self::of(&[server], |engine, server| Ok(make(engine, server, servers)?.name().to_owned()))
    }

    fn of(wanted: &[Server], image: impl Fn(&Engine, Server) -> Result<String>) -> Self {
        if wanted.is_empty() {
            return Self::NotNeeded;
        }
        let answer = Engine::find().and_then(|engine| {
            let images = wanted.iter().map(|server| {
                let name = image(&engine, *server).with_context(|| format!("no image of {server:?}"))?;
                Ok((server.image().variable(), name))
            });
            Ok((engine.version().to_owned(), images.collect::<Result<_>>()?))
        });
        match answer {
            Ok((version, images)) => Self::There { version, images },
            Err(error) => Self::Missing(error),
        }
    }

    /// Whether the tests in containers can be run.
    pub(crate) fn are_there(&self) -> bool {
        matches!(self, Self::There { .. })
    }

    /// What the tests' environment has to say.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let images = if let Self::There { images, .. } = self { images.as_slice() } else { &[] };
        images.iter().map(|(variable, name)| (*variable, name.as_str()))
    }

    /// Says in a line what is tested in containers, or plainly that nothing is.
    pub(crate) fn tell(&self) {
        match self.told() {
            text if text.is_empty() => {}
            text => println!("{text}"),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::NotNeeded => String::new(),
            Self::There { version, images } => {
                let names = images.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
                format!("containers: {names}, by docker {version}")
            }
            Self::Missing(error) => format!(
                "containers: NOT RUN. The tests in containers need a container engine with images: {error:#}.\n\
                 \x20           The same kit runs against servers as processes. To run it in containers too: start an \
                 engine that `docker version` finds\n\
                 \x20           (images are made by this command from the servers here, or had by `docker pull`), and \
                 run this again."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn it_is_said_plainly_that_containers_were_not_run_why_and_what_to_do() {
        let told = Containers::Missing(anyhow!("the command docker can't be started")).told();
        for part in ["NOT RUN", "docker can't be started", "docker version", "docker pull", "run this again"] {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
    }

    #[test]
    fn images_are_named_in_a_line_and_in_the_environment() {
        let images = vec![("DISTLOCK_REDIS_IMAGE", "redis:7.0.15".to_owned())];
        let there = Containers::There { version: "20.10".to_owned(), images };
        assert_eq!(there.told(), "containers: redis:7.0.15, by docker 20.10");
        assert_eq!(there.environment().collect::<Vec<_>>(), [("DISTLOCK_REDIS_IMAGE", "redis:7.0.15")]);
        assert!(Containers::NotNeeded.told().is_empty());
    }
}
