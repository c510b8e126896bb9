//! The datacenter of the locks, and the node there that sessions belong to.

use std::sync::{Mutex, PoisonError};

use lock_core::{BackendError, ErrorKind, Operation, Outcome};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::api::Api;
use crate::wire::{CreatedSession, NewSession};

/// Where the locks are.
#[derive(Debug, Default)]
pub(crate) struct Datacenter {
    /// What names it in a query; empty for the agent's own.
    pub(crate) query: String,
    /// The node that sessions belong to, where it isn't the agent's.
    node: Mutex<Option<String>>,
}

/// A server, as the catalog has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    node: String,
}

impl Datacenter {
    pub(crate) fn named(name: &str) -> Self {
        Self { query: format!("dc={}", utf8_percent_encode(name, NON_ALPHANUMERIC)), ..Self::default() }
    }

    /// The node that sessions belong to, where it isn't the agent's.
    pub(crate) fn node(&self) -> Option<String> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, node: &str) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.to_owned());
    }
}

impl Api {
    /// A session belongs to a node that is registered with the servers that keep it: by default the agent's own, and in
    /// another datacenter that is unknown. There it is a server's, which stays longest of all nodes.
    pub(crate) async fn create_session(&self, operation: Operation, new: &NewSession) -> Result<String, BackendError> {
        let (node, mut new) = (self.datacenter.node(), new.clone());
        new.node = node;
        match self.create_on_node(operation, &new).await {
            Err(error) if is_unknown_node(&error) && !self.datacenter.query.is_empty() => {
                let node = self.server_there(operation).await?;
                self.datacenter.remember(&node);
                new.node = Some(node);
                self.create_on_node(operation, &new).await
            }
            answer => answer,
        }
    }

    async fn create_on_node(&self, operation: Operation, new: &NewSession) -> Result<String, BackendError> {
        let created: CreatedSession = self.tell(operation, "/v1/session/create", new).await?;
        Ok(created.id)
    }

    /// The first by name: the same for everybody, and the next when that one has gone.
    async fn server_there(&self, operation: Operation) -> Result<String, BackendError> {
        let servers: Vec<Server> = self.ask(operation, "/v1/catalog/service/consul").await?;
        servers.into_iter().map(|server| server.node).min().ok_or_else(|| {
            let message = "a session belongs to a node of its datacenter, and the catalog there shows no server";
            BackendError::new(ErrorKind::InvalidConfiguration, operation, message)
                .with_outcome(Outcome::NotApplied)
                .with_advice(
                    "allow the ACL token node_prefix \"\" { policy = \"read\" } and \
                     service \"consul\" { policy = \"read\" } in that datacenter; or name an agent there instead of dc=",
                )
        })
    }
}

fn is_unknown_node(error: &BackendError) -> bool {
    error.message().contains("Missing node registration")
}
