//! Reads of the tailnet, and writes to it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use async_trait::async_trait;
use ipnet::Ipv4Net;

use crate::provider::error::RequestError;
use crate::provider::secret::Secret;
use crate::provider::tailnet::{TailnetClient, TailnetDevice, TailnetPolicy};

/// Reads the tailnet.
///
/// Every method fails with [`RequestError`] if the Tailscale API does not answer or
/// refuses the request.
#[async_trait]
pub trait TailnetRead: Debug + Send + Sync {
    /// All devices with all their fields, in one request.
    async fn devices(&self) -> Result<Vec<TailnetDevice>, RequestError>;

    /// The tailnet's policy.
    async fn policy(&self) -> Result<TailnetPolicy, RequestError>;

    /// The scopes of the credential; `None` for an API key, and for servers that do not report
    /// scopes.
    async fn granted_scopes(&self) -> Result<Option<BTreeSet<String>>, RequestError>;

    /// The role of the user whose API key the credential is; `None` for an OAuth client, and
    /// for servers that do not report it.
    async fn owner_role(&self) -> Result<Option<String>, RequestError>;

    /// How many auth keys can be listed.
    async fn key_count(&self) -> Result<usize, RequestError>;

    /// Whether a machine can still join with an auth key of this description.
    async fn has_unused_key(&self, description: &str, tag: &str) -> Result<bool, RequestError>;
}

/// Writes to the tailnet; can read it too.
#[async_trait]
pub trait TailnetWrite: TailnetRead {
    /// Sets the approved prefixes of a device to exactly these, and returns its advertised
    /// and approved prefixes.
    async fn set_enabled_routes(
        &self,
        id: &str,
        routes: &BTreeSet<Ipv4Net>,
    ) -> Result<(BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>), RequestError>;

    /// Creates a key with which one machine may join once within the hour.
    async fn create_auth_key(&self, tag: &str, description: &str) -> Result<Secret, RequestError>;

    /// Lets a device take part in the tailnet.
    async fn authorize_device(&self, id: &str) -> Result<(), RequestError>;

    /// Switches off the expiry of a device's node key.
    async fn disable_key_expiry(&self, id: &str) -> Result<(), RequestError>;

    /// Sets the tags of a device to exactly these.
    async fn set_tags(&self, id: &str, tags: &BTreeSet<String>) -> Result<(), RequestError>;

    /// Removes a device. Succeeds if it does not exist.
    async fn delete_device(&self, id: &str) -> Result<(), RequestError>;
}

#[async_trait]
impl TailnetRead for TailnetClient {
    async fn devices(&self) -> Result<Vec<TailnetDevice>, RequestError> {
        Self::devices(self).await
    }

    async fn policy(&self) -> Result<TailnetPolicy, RequestError> {
        Self::policy(self).await
    }

    async fn granted_scopes(&self) -> Result<Option<BTreeSet<String>>, RequestError> {
        Self::granted_scopes(self).await
    }

    async fn owner_role(&self) -> Result<Option<String>, RequestError> {
        Self::owner_role(self).await
    }

    async fn key_count(&self) -> Result<usize, RequestError> {
        Self::key_count(self).await
    }

    async fn has_unused_key(&self, description: &str, tag: &str) -> Result<bool, RequestError> {
        Self::has_unused_key(self, description, tag).await
    }
}

#[async_trait]
impl TailnetWrite for TailnetClient {
    async fn set_enabled_routes(
        &self,
        id: &str,
        routes: &BTreeSet<Ipv4Net>,
    ) -> Result<(BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>), RequestError> {
        Self::set_enabled_routes(self, id, routes).await
    }

    async fn create_auth_key(&self, tag: &str, description: &str) -> Result<Secret, RequestError> {
        Self::create_auth_key(self, tag, description).await
    }

    async fn authorize_device(&self, id: &str) -> Result<(), RequestError> {
        Self::authorize_device(self, id).await
    }

    async fn disable_key_expiry(&self, id: &str) -> Result<(), RequestError> {
        Self::disable_key_expiry(self, id).await
    }

    async fn set_tags(&self, id: &str, tags: &BTreeSet<String>) -> Result<(), RequestError> {
        Self::set_tags(self, id, tags).await
    }

    async fn delete_device(&self, id: &str) -> Result<(), RequestError> {
        Self::delete_device(self, id).await
    }
}
