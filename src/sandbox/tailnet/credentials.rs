//! The credentials of the tailnet: OAuth clients and API access tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TailnetStore;
use crate::sandbox::digest::digest;

/// The lifetime of a token of an OAuth client in seconds.
const LIFETIME_SECONDS: u32 = 3600;

/// The credentials that are accepted. Without any, all are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AcceptedCredentials {
    by_name: BTreeMap<String, AcceptedCredential>,
    /// The lifetime of new tokens of OAuth clients in seconds.
    token_seconds: Option<u32>,
}

/// A credential. Only the digest of its secret is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedCredential {
    /// The ID of an OAuth client; `None` is an API access token.
    pub client_id: Option<String>,
    digest: String,
    /// A revoked credential is not accepted.
    pub revoked: bool,
}

impl AcceptedCredentials {
    /// Sets the lifetime of new tokens; `None` is that of Tailscale.
    pub fn set_token_seconds(&mut self, seconds: Option<u32>) {
        self.token_seconds = seconds;
    }

    /// Registers a credential, in place of one of the same name.
    pub fn insert(&mut self, name: &str, client_id: Option<String>, secret: &str) {
        let credential = AcceptedCredential { client_id, digest: digest(secret), revoked: false };
        self.by_name.insert(name.to_owned(), credential);
    }

    /// The credential of a name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut AcceptedCredential> {
        self.by_name.get_mut(name)
    }

    /// The lifetime of a new token.
    pub(super) fn token_seconds(&self) -> u32 {
        self.token_seconds.unwrap_or(LIFETIME_SECONDS)
    }

    /// Whether a secret is accepted: an API access token, or that of an OAuth client with
    /// this ID. Some clients send no ID, since the secret holds it.
    pub(super) fn accepts(&self, client_id: Option<&str>, secret: &str, is_client: bool) -> bool {
        let digest = digest(secret);
        let is_it = |known: &AcceptedCredential| {
            let same_kind = known.client_id.is_some() == is_client;
            let same_id = client_id.is_none_or(|id| known.client_id.as_deref() == Some(id));
            same_kind && (same_id || !is_client) && known.digest == digest && !known.revoked
        };
        self.by_name.is_empty() || self.by_name.values().any(is_it)
    }
}

impl TailnetStore {
    /// Revokes the access tokens of all OAuth clients, which can fetch others.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }
}
