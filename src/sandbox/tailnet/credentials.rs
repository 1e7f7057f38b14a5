//! The credentials of the tailnet: OAuth clients, federated identities and API access tokens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TailnetStore;
use crate::sandbox::arm::{Assertion, FederatedCredential};
use crate::sandbox::digest::digest;

/// The lifetime of a token of an OAuth client in seconds.
const LIFETIME_SECONDS: u32 = 3600;
/// The audience of tokens of Azure Pipelines, which cannot choose one: a federated identity for
/// them is set up with it.
const AZURE_PIPELINES_AUDIENCE: &str = "api://AzureADTokenExchange";

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
    /// The ID of an OAuth client or of a federated identity; `None` is an API access token.
    pub client_id: Option<String>,
    /// Empty for a federated identity, which has no secret.
    digest: String,
    /// The tokens that a federated identity accepts.
    #[serde(default)]
    federated: Option<FederatedCredential>,
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
        let credential = AcceptedCredential {
            client_id,
            digest: digest(secret),
            federated: None,
            revoked: false,
        };
        self.by_name.insert(name.to_owned(), credential);
    }

    /// Registers a federated identity, in place of a credential of the same name.
    pub fn insert_federated(&mut self, name: &str, client_id: &str, accepts: FederatedCredential) {
        let credential = AcceptedCredential {
            client_id: Some(client_id.to_owned()),
            digest: String::new(),
            federated: Some(accepts),
            revoked: false,
        };
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

    /// Why a token of another issuer is not exchanged for a federated identity; `None` if it is.
    pub(super) fn exchange_refusal(
        &self,
        client_id: &str,
        token: &str,
        now: Timestamp,
    ) -> Option<&'static str> {
        if self.by_name.is_empty() {
            return (client_id.is_empty() || token.is_empty())
                .then_some("client_id or jwt missing");
        }
        let is_it = |it: &&AcceptedCredential| it.client_id.as_deref() == Some(client_id);
        let known = self.by_name.values().find(is_it).filter(|it| !it.revoked);
        let Some(accepts) = known.and_then(|it| it.federated.as_ref()) else {
            return Some("the client id is not known");
        };
        let Some(token) = Assertion::parse(token) else { return Some("the jwt is malformed") };
        let own = format!("api.tailscale.com/{client_id}");
        let is_signed = accepts.certificate.as_deref().is_none_or(|it| token.is_signed_by(it));
        [
            (token.claim("iss") == accepts.issuer, "the issuer does not match"),
            (token.claim("sub") == accepts.subject, "the subject does not match"),
            (
                token.is_for(|audience| audience == own || audience == AZURE_PIPELINES_AUDIENCE),
                "the audience does not match",
            ),
            (is_signed, "the signature is invalid"),
            (token.is_valid_at(now), "the jwt has expired"),
        ]
        .into_iter()
        .find_map(|(holds, reason)| (!holds).then_some(reason))
    }
}

impl TailnetStore {
    /// Revokes the access tokens of all OAuth clients, which can fetch others.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }
}
