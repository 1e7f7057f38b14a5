//! The tenant's identities, and the access tokens that were issued to them.
//!
//! A sandbox begins without identities, and then accepts any credential. As soon as one is
//! registered, only registered identities can sign in, and only tokens that were issued to
//! them are accepted, except the token that the sandbox itself hands out.

mod assertion;
mod managed_identity;
mod sign_in;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sandbox::digest::digest;

pub(in crate::sandbox) use assertion::Assertion;
pub(super) use managed_identity::{IdentityEndpoint, token as managed_identity_token};
pub(super) use sign_in::token;

/// The lifetime of a token in seconds, unless another is set.
const LIFETIME_SECONDS: u32 = 3599;
/// The beginning of every token that is issued.
const TOKEN_PREFIX: &str = "sandbox-";
/// How long an expired token is known as expired.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// The identities of the tenant and their access tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Directory {
    /// Identities by name.
    identities: BTreeMap<String, DirectoryIdentity>,
    /// Issued tokens by digest.
    tokens: BTreeMap<String, IssuedToken>,
    /// The lifetime of new tokens in seconds.
    token_seconds: Option<u32>,
}

/// An application, or a managed identity.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DirectoryIdentity {
    /// The application's (client) ID.
    pub client_id: String,
    /// A disabled identity cannot sign in, and its tokens are revoked.
    pub disabled: bool,
    /// Whether machines get tokens of it without a proof.
    pub managed: bool,
    /// Whether it has the role *Azure Kubernetes Service RBAC Cluster Admin*.
    #[serde(default)]
    pub cluster_admin: bool,
    /// The ends of the client secrets, by their digests.
    secrets: BTreeMap<String, Option<Timestamp>>,
    /// The registered certificates: DER in base64.
    certificates: Vec<String>,
    federated: Vec<FederatedCredential>,
}

/// The tokens of another issuer that stand for an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedCredential {
    /// The issuer.
    pub issuer: String,
    /// The subject, in its letter case.
    pub subject: String,
    /// The certificate whose key signs the tokens: DER in base64. Without it, the signature is
    /// not checked, because the sandbox cannot ask the issuer for its keys.
    pub certificate: Option<String>,
}

impl FederatedCredential {
    /// Trusts the tokens of an issuer, signed with the key of a certificate in DER if one is
    /// given.
    pub fn new(issuer: &str, subject: &str, certificate: Option<&[u8]>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            certificate: certificate.map(|der| STANDARD.encode(der)),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct IssuedToken {
    /// The name of the identity; empty if none is registered.
    identity: String,
    audience: String,
    expires: Timestamp,
    revoked: bool,
}

/// A new token.
#[derive(Debug)]
pub(super) struct GrantedToken {
    pub(super) token: String,
    pub(super) expires: Timestamp,
    pub(super) seconds: u32,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenRefusal {
    /// It was not issued, or it is revoked.
    Invalid,
    /// It has expired at this time.
    Expired(Timestamp),
    /// It is for another service.
    Audience(String),
}

impl Directory {
    /// Sets the lifetime of new tokens; `None` is that of Azure.
    pub fn set_token_seconds(&mut self, seconds: Option<u32>) {
        self.token_seconds = seconds;
    }

    /// The identity of a name, which is registered if it is not there.
    pub fn identity(
        &mut self,
        name: &str,
        guid: &mut dyn FnMut() -> String,
    ) -> &mut DirectoryIdentity {
        self.identities.entry(name.to_owned()).or_insert_with(|| DirectoryIdentity {
            client_id: guid(),
            ..DirectoryIdentity::default()
        })
    }

    /// Revokes the tokens of an identity. It can sign in again unless it is disabled.
    pub fn revoke_tokens(&mut self, name: &str) {
        let of_identity = self.tokens.values_mut().filter(|token| token.identity == name);
        of_identity.for_each(|token| token.revoked = true);
    }

    /// Whether any credential is accepted.
    fn is_open(&self) -> bool {
        self.identities.is_empty()
    }

    fn find(&self, client_id: &str) -> Option<(&str, &DirectoryIdentity)> {
        let is_it = |(_, identity): &(&String, &DirectoryIdentity)| {
            identity.client_id.eq_ignore_ascii_case(client_id)
        };
        self.identities.iter().find(is_it).map(|(name, identity)| (name.as_str(), identity))
    }

    pub(super) fn issue(
        &mut self,
        identity: &str,
        audience: &str,
        now: Timestamp,
        guid: &mut dyn FnMut() -> String,
    ) -> GrantedToken {
        let seconds = self.token_seconds.unwrap_or(LIFETIME_SECONDS);
        let token = format!("{TOKEN_PREFIX}{}", guid());
        let lifetime = SignedDuration::from_secs(seconds.into());
        let expires = now.checked_add(lifetime).unwrap_or(now);
        self.tokens.retain(|_, token| {
            token.expires.checked_add(REMEMBERED).is_ok_and(|remembered| remembered > now)
        });
        let issued = IssuedToken {
            identity: identity.to_owned(),
            audience: audience.to_owned(),
            expires,
            revoked: false,
        };
        self.tokens.insert(digest(&token), issued);
        GrantedToken { token, expires, seconds }
    }

    /// Checks a token for a service, which accepts these audiences. Without identities, the
    /// tokens of other issuers are accepted, too.
    pub(super) fn check(
        &self,
        token: &str,
        accepts: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<(), TokenRefusal> {
        match self.identity_of(token, accepts, now) {
            Err(TokenRefusal::Invalid) if self.is_open() && !token.starts_with(TOKEN_PREFIX) => {
                Ok(())
            }
            checked => checked.map(drop),
        }
    }

    /// The identity that a token was issued to, for a service that accepts these audiences;
    /// `None` if no identity was registered then.
    pub(super) fn identity_of(
        &self,
        token: &str,
        accepts: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<Option<&DirectoryIdentity>, TokenRefusal> {
        match self.tokens.get(&digest(token)) {
            None => Err(TokenRefusal::Invalid),
            Some(issued) if issued.revoked => Err(TokenRefusal::Invalid),
            Some(issued) if issued.expires <= now => Err(TokenRefusal::Expired(issued.expires)),
            Some(issued) if !accepts(&issued.audience) => {
                Err(TokenRefusal::Audience(issued.audience.clone()))
            }
            Some(issued) => Ok(self.identities.get(&issued.identity)),
        }
    }
}

impl DirectoryIdentity {
    /// Adds a client secret, which may end.
    pub fn add_secret(&mut self, secret: &str, end: Option<Timestamp>) {
        self.secrets.insert(digest(secret), end);
    }

    /// Registers a certificate in DER.
    pub fn add_certificate(&mut self, certificate: &[u8]) {
        self.certificates.push(STANDARD.encode(certificate));
    }

    /// Trusts the tokens of another issuer, signed with the key of a certificate in DER if one
    /// is given.
    pub fn add_federated(&mut self, issuer: &str, subject: &str, certificate: Option<&[u8]>) {
        self.federated.push(FederatedCredential::new(issuer, subject, certificate));
    }

    /// Removes all secrets, certificates and federated credentials.
    pub fn remove_credentials(&mut self) {
        self.secrets.clear();
        self.certificates.clear();
        self.federated.clear();
    }
}

#[cfg(test)]
mod tests;
