//! Which images the tests in containers use.

use std::env;

/// A server's image: what it is called, unless the environment says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    variable: &'static str,
    repository: &'static str,
    tag: &'static str,
}

impl Image {
    /// Redis.
    pub const REDIS: Self = Self { variable: "DISTLOCK_REDIS_IMAGE", repository: "redis", tag: "7.0.15" };
    /// etcd.
    pub const ETCD: Self = Self { variable: "DISTLOCK_ETCD_IMAGE", repository: "quay.io/coreos/etcd", tag: "v3.4.23" };
    /// Consul.
    pub const CONSUL: Self = Self { variable: "DISTLOCK_CONSUL_IMAGE", repository: "consul", tag: "1.8.7" };

    /// The environment variable that names another.
    pub fn variable(self) -> &'static str {
        self.variable
    }

    /// The official repository.
    pub fn repository(self) -> &'static str {
        self.repository
    }

    /// The official one of the version that the tests were written with.
    pub fn official(self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// The one to use: what the environment names, else the official one.
    pub fn name(self) -> String {
        self.named_by(env::var(self.variable).ok().as_deref())
    }

    fn named_by(self, value: Option<&str>) -> String {
        value.filter(|name| !name.is_empty()).map_or_else(|| self.official(), str::to_owned)
    }
}

/// A name's repository and tag. A registry's port is no tag.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_another_image_and_nothing_names_none() {
        assert_eq!(Image::ETCD.named_by(None), "quay.io/coreos/etcd:v3.4.23");
        assert_eq!(Image::REDIS.named_by(Some("")), "redis:7.0.15");
        assert_eq!(Image::REDIS.named_by(Some("valkey/valkey:8.1.1")), "valkey/valkey:8.1.1");
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(split("redis:7.0.15"), ("redis", "7.0.15"));
        assert_eq!(split("localhost:5000/redis"), ("localhost:5000/redis", "latest"));
        assert_eq!(split("localhost:5000/redis:8"), ("localhost:5000/redis", "8"));
    }
}
