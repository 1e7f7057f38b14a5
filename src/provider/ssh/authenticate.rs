//! Authenticates to a host.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyBase64};
use tokio::net::UnixStream;

use super::error::SshError;
use super::handler::{Client, ConnectionEnd, protocol_message};
use super::host_keys::fingerprint;
use super::identity::{KeyFile, KeyState};
use super::settings::SshSettings;
use crate::provider::host::HostTarget;

/// One login.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<Client>,
    pub(super) target: &'a HostTarget,
    pub(super) settings: &'a SshSettings,
    pub(super) key_files: &'a [KeyFile],
    pub(super) ending: &'a ConnectionEnd,
    /// The attempts and their results, for troubleshooting.
    pub(super) tried: Vec<String>,
    /// The keys that the host has refused.
    pub(super) offered: BTreeSet<Vec<u8>>,
}

/// Whether to continue.
#[derive(Debug, PartialEq, Eq)]
enum NextStep {
    LoggedIn,
    Continue,
    GiveUp,
}

/// Never signs: a request for a signature means that the host accepts the key.
struct Probe;

#[derive(Debug)]
struct AcceptedKey;

impl From<russh::SendError> for AcceptedKey {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl russh::Signer for Probe {
    type Error = AcceptedKey;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        _data: Vec<u8>,
    ) -> Result<Vec<u8>, AcceptedKey> {
        Err(AcceptedKey)
    }
}

impl Login<'_> {
    /// Tries the agent's keys, then the key files.
    pub(super) async fn log_in(mut self) -> Result<(), SshError> {
        let mut next = NextStep::Continue;
        if let Some(socket) = &self.settings.agent {
            next = self.try_agent(socket).await?;
        }
        for file in self.key_files {
            if next == NextStep::Continue {
                next = self.try_file(file).await?;
            }
        }
        match next {
            NextStep::LoggedIn => Ok(()),
            NextStep::Continue | NextStep::GiveUp => {
                let Self { target, tried, .. } = self;
                let HostTarget { hostname, user, .. } = target.clone();
                Err(SshError::Login { hostname, user, tried })
            }
        }
    }

    async fn try_agent(&mut self, socket: &Path) -> Result<NextStep, SshError> {
        let mut agent = match UnixStream::connect(socket).await {
            Ok(stream) => AgentClient::connect(stream),
            Err(error) => {
                self.tried.push(format!("the agent at {}: {error}", socket.display()));
                return Ok(NextStep::Continue);
            }
        };
        if let Some(binding) = self.handle.agent_session_binding() {
            // Agents without this extension refuse, and still work.
            let bound = self.within(agent.bind_session(binding, false)).await?;
            tracing::debug!(bound = bound.is_ok(), "bound the agent to the host");
        }
        let identities = match self.within(agent.request_identities()).await? {
            Ok(identities) => identities,
            Err(error) => {
                self.tried.push(format!("the agent at {}: {error}", socket.display()));
                return Ok(NextStep::Continue);
            }
        };
        let identities = self.in_order(identities).await;
        if identities.is_empty() {
            self.tried.push(format!("the agent at {}: no key to try", socket.display()));
        }
        for (key, comment) in identities {
            let next = self.try_agent_key(&mut agent, &key, &comment).await?;
            if next != NextStep::Continue {
                return Ok(next);
            }
        }
        Ok(NextStep::Continue)
    }

    /// The agent's keys, the most likely first: sshd disconnects after a few attempts.
    async fn in_order(&self, identities: Vec<AgentIdentity>) -> Vec<(PublicKey, String)> {
        let mut likely = Vec::new();
        for file in self.key_files {
            likely.extend(file.public(&self.settings.passphrases).await);
        }
        if !self.settings.only_key_files {
            let preferred = self.settings.preferred_key.as_deref();
            likely.extend(preferred.and_then(|text| PublicKey::from_openssh(text).ok()));
        }
        let is_likely = |key: &PublicKey| likely.iter().any(|one| one.key_data() == key.key_data());
        let mut keys: Vec<_> = identities
            .into_iter()
            .filter_map(|identity| match identity {
                AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
                AgentIdentity::Certificate { .. } => None,
            })
            .filter(|(key, _)| !self.settings.only_key_files || is_likely(key))
            .collect();
        keys.sort_by_key(|(key, _)| !is_likely(key));
        keys
    }

    async fn try_agent_key(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        key: &PublicKey,
        comment: &str,
    ) -> Result<NextStep, SshError> {
        let name = named(&format!("the agent's key {comment}"), key);
        let hash = self.rsa_hash(key).await?;
        let (user, limit) = (self.target.user.clone(), self.settings.login_within);
        let requested = self.handle.authenticate_publickey_with(user, key.clone(), hash, agent);
        let outcome = match tokio::time::timeout(limit, requested).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(self.silent()),
        };
        match outcome {
            Ok(result) => self.next_after_response(name, key, result),
            Err(error) => {
                self.tried.push(format!("{name}: the agent does not sign: {error}"));
                self.offered.insert(key.public_key_bytes());
                Ok(if self.handle.is_closed() { NextStep::GiveUp } else { NextStep::Continue })
            }
        }
    }

    async fn try_file(&mut self, file: &KeyFile) -> Result<NextStep, SshError> {
        let rendered = file.path().display().to_string();
        let passphrases = &self.settings.passphrases;
        let mut state = file.read(passphrases).await;
        if let KeyState::Locked(public) = &state {
            if let Some(next) = self.probe(&rendered, public).await? {
                return Ok(next);
            }
            // The host accepts the key, so asking for the passphrase is worthwhile.
            state = file.unlock(passphrases).await;
        }
        match state {
            KeyState::Ready(key) => self.try_key(&rendered, key).await,
            KeyState::Unusable(reason) => {
                self.tried.push(format!("{rendered}: {reason}"));
                Ok(NextStep::Continue)
            }
            KeyState::Unread | KeyState::Locked(_) => Ok(NextStep::Continue),
        }
    }

    async fn try_key(
        &mut self,
        rendered: &str,
        key: Arc<PrivateKey>,
    ) -> Result<NextStep, SshError> {
        let public = key.public_key().clone();
        if self.offered.contains(&public.public_key_bytes()) {
            return Ok(NextStep::Continue);
        }
        let hash = self.rsa_hash(&public).await?;
        let (user, limit) = (self.target.user.clone(), self.settings.login_within);
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let requested = self.handle.authenticate_publickey(user, key);
        match tokio::time::timeout(limit, requested).await {
            Ok(Ok(result)) => self.next_after_response(named(rendered, &public), &public, result),
            Ok(Err(error)) => Err(self.broken(&error.into())),
            Err(_) => Err(self.silent()),
        }
    }

    /// Asks whether the host accepts a key; `None` if it does.
    async fn probe(
        &mut self,
        rendered: &str,
        key: &PublicKey,
    ) -> Result<Option<NextStep>, SshError> {
        if self.offered.contains(&key.public_key_bytes()) {
            return Ok(Some(NextStep::Continue));
        }
        let hash = self.rsa_hash(key).await?;
        let (user, limit) = (self.target.user.clone(), self.settings.login_within);
        let mut probe = Probe;
        let requested =
            self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut probe);
        let outcome = match tokio::time::timeout(limit, requested).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(self.silent()),
        };
        match outcome {
            Err(AcceptedKey) => Ok(None),
            Ok(result) => self.next_after_response(named(rendered, key), key, result).map(Some),
        }
    }

    /// The next action after the host's response to a key.
    fn next_after_response(
        &mut self,
        name: String,
        key: &PublicKey,
        result: AuthResult,
    ) -> Result<NextStep, SshError> {
        let AuthResult::Failure { remaining_methods, partial_success } = result else {
            return Ok(NextStep::LoggedIn);
        };
        self.offered.insert(key.public_key_bytes());
        if self.handle.is_closed() {
            let ended =
                self.ending.reason().unwrap_or_else(|| "the host closed the connection".to_owned());
            self.tried.push(format!("{name}: {ended}"));
            return Ok(NextStep::GiveUp);
        }
        if partial_success {
            self.tried.push(format!(
                "{name}: accepted, but the host requires another \
                                     authentication method"
            ));
            return Ok(NextStep::GiveUp);
        }
        self.tried.push(format!("{name}: refused"));
        match remaining_methods.contains(&MethodKind::PublicKey) {
            true => Ok(NextStep::Continue),
            false => Ok(NextStep::GiveUp),
        }
    }

    /// The signature hash, which is a choice for RSA only.
    async fn rsa_hash(&self, key: &PublicKey) -> Result<Option<HashAlg>, SshError> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        let best = self.within(self.handle.best_supported_rsa_hash()).await?;
        let best = best.map_err(|error| self.broken(&error.into()))?;
        Ok(best.unwrap_or(Some(HashAlg::Sha512)))
    }

    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, SshError> {
        tokio::time::timeout(self.settings.login_within, work).await.map_err(|_| self.silent())
    }

    fn silent(&self) -> SshError {
        let seconds = self.settings.login_within.as_secs_f32();
        let reason = format!("it did not answer to the login within {seconds} s");
        SshError::unreachable(self.target, reason)
    }

    fn broken(&self, error: &super::handler::ClientError) -> SshError {
        let reason = self.ending.reason().unwrap_or_else(|| protocol_message(error));
        SshError::unreachable(self.target, format!("the login failed: {reason}"))
    }
}

fn named(what: &str, key: &PublicKey) -> String {
    format!("{} ({})", what.trim(), fingerprint(&key.public_key_bytes()))
}
