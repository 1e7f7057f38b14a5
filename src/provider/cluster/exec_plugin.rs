//! The plugin of a kubeconfig, a program that prints a credential.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use crate::diagnostics::ServiceText;
use crate::provider::credentials::{TokenCache, TokenSource};
use crate::provider::error::RequestError;
use crate::provider::http::Api;
use crate::provider::secret::Secret;

/// How long a plugin may take: as long as a sign-in to Azure.
const TIMEOUT: Duration = Duration::from_secs(12);
/// The largest output that is read.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;
/// How long a token without an expiry is kept; one that the API server refuses is replaced.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

const REMEDY: &str = "use a plugin that needs no terminal, as `kubelogin convert-kubeconfig -l \
                      azurecli` sets one (or `-l spn`, `-l workloadidentity`); for an AKS cluster, \
                      unset KUBECONFIG: stargate then signs in with the Azure credential";

/// Runs the plugin without a terminal and for a limited time.
pub(super) struct ExecPlugin {
    exec: ExecConfig,
    timeout: Duration,
    cache: TokenCache,
}

/// A client certificate and its key, in PEM.
pub(super) struct ClientCertificate {
    certificate: String,
    key: Secret,
}

enum Credential {
    Token(Secret, Duration),
    Certificate(ClientCertificate),
}

impl ClientCertificate {
    /// The fields of a kubeconfig's user.
    pub(super) fn fields(&self) -> Value {
        json!({
            "client-certificate-data": STANDARD.encode(&self.certificate),
            "client-key-data": STANDARD.encode(self.key.expose()),
        })
    }
}

impl fmt::Debug for ExecPlugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may be secret.
        formatter.debug_struct("ExecPlugin").field("command", &self.exec.command).finish()
    }
}

#[async_trait]
impl TokenSource for ExecPlugin {
    async fn token(&self) -> Result<Secret, RequestError> {
        self.cache
            .get(async {
                match self.run().await? {
                    Credential::Token(token, lifetime) => Ok((token, lifetime)),
                    Credential::Certificate(_) => Err(self.failure("returned no token")),
                }
            })
            .await
    }

    async fn forget(&self, token: &Secret) {
        self.cache.forget(token).await;
    }
}

impl ExecPlugin {
    pub(super) fn new(exec: ExecConfig) -> Self {
        Self { exec, timeout: TIMEOUT, cache: TokenCache::default() }
    }

    /// Gets the first credential: a certificate, or `None` for a token, which is kept.
    pub(super) async fn sign_in(&self) -> Result<Option<ClientCertificate>, RequestError> {
        let mut certificate = None;
        let fetch = async {
            match self.run().await? {
                Credential::Token(token, lifetime) => Ok((token, lifetime)),
                Credential::Certificate(found) => {
                    certificate = Some(found);
                    Err(self.failure("returned no token"))
                }
            }
        };
        let token = self.cache.get(fetch).await;
        match certificate {
            Some(certificate) => Ok(Some(certificate)),
            None => token.map(|_| None),
        }
    }

    async fn run(&self) -> Result<Credential, RequestError> {
        if self.exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(self.failure("requires a terminal (`interactiveMode: Always`)"));
        }
        let child = self.command().spawn().map_err(|error| {
            let hint = self.exec.install_hint.as_deref().unwrap_or_default().trim();
            self.failure(&format!("cannot be started: {error}. {hint}"))
        })?;
        self.credential(&self.output(child).await?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.exec.command.as_deref().unwrap_or_default());
        command.args(self.exec.args.iter().flatten());
        for variable in self.exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        let info = json!({
            "apiVersion": self.exec.api_version,
            "kind": "ExecCredential",
            "spec": { "interactive": false },
        });
        command.env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process in the background is stopped when it reads the terminal.
        #[cfg(unix)]
        command.process_group(0);
        command.kill_on_drop(true);
        command
    }

    /// The standard output of a plugin that succeeds in time.
    async fn output(&self, mut child: Child) -> Result<Vec<u8>, RequestError> {
        let (mut printed, mut said) = (Vec::new(), Vec::new());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let finish = async {
            tokio::join!(read(out, &mut printed), read(err, &mut said));
            child.wait().await
        };
        let status = tokio::time::timeout(self.timeout, finish).await;
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        match status {
            Ok(Ok(status)) if status.success() => Ok(printed),
            Ok(Ok(status)) => Err(self.failure(&format!("failed ({status}): {last}"))),
            Ok(Err(error)) => Err(self.failure(&format!("failed: {error}"))),
            Err(_) => {
                let after = self.timeout.as_secs();
                Err(self.failure(&format!("returned no credential within {after} s: {last}")))
            }
        }
    }

    fn credential(&self, printed: &[u8]) -> Result<Credential, RequestError> {
        let printed: Value = serde_json::from_slice(printed)
            .map_err(|_| self.failure("printed something else than a credential in JSON"))?;
        let status = &printed["status"];
        let text = |name: &str| status[name].as_str().filter(|text| !text.is_empty());
        if let (Some(certificate), Some(key)) =
            (text("clientCertificateData"), text("clientKeyData"))
        {
            let (certificate, key) = (certificate.to_owned(), Secret::new(key));
            return Ok(Credential::Certificate(ClientCertificate { certificate, key }));
        }
        let Some(token) = text("token") else {
            return Err(self.failure("returned neither a token nor a client certificate"));
        };
        let lifetime = match text("expirationTimestamp").map(str::parse::<Timestamp>) {
            None => DEFAULT_LIFETIME,
            Some(Ok(end)) => Duration::try_from(end.duration_since(Timestamp::now()))
                .map_err(|_| self.failure("returned a token that has expired"))?,
            Some(Err(_)) => {
                return Err(self.failure("returned an `expirationTimestamp` in no known form"));
            }
        };
        Ok(Credential::Token(Secret::new(token), lifetime))
    }

    fn failure(&self, problem: &str) -> RequestError {
        let command = self.exec.command.as_deref().unwrap_or_default();
        let reason = format!("the plugin `{command}` of the kubeconfig {}", problem.trim());
        RequestError::Credentials {
            api: Api::Kubernetes,
            reason: String::from(ServiceText::message(&reason)),
            refused: true,
            remedy: REMEDY.to_owned(),
        }
    }
}

/// Reads what a program prints, up to a limit; the rest of the program's output is lost.
async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(from) = from {
        // What arrived before an error counts.
        let _read = from.take(MAX_OUTPUT_BYTES).read_to_end(into).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(script: &str, timeout: Duration) -> ExecPlugin {
        let exec = json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", script] });
        let exec = serde_json::from_value(exec).unwrap();
        ExecPlugin { timeout, ..ExecPlugin::new(exec) }
    }

    #[tokio::test]
    async fn a_token_is_kept_until_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count").display().to_string();
        let script = format!(
            "echo x >> {count}; n=$(wc -l < {count} | tr -d ' '); echo '{{\"status\":\
             {{\"token\":\"t'$n'\"}}}}'"
        );
        let plugin = plugin(&script, TIMEOUT);
        assert!(plugin.sign_in().await.unwrap().is_none());
        let first = plugin.token().await.unwrap();
        assert_eq!(first.expose(), "t1");
        plugin.forget(&first).await;
        assert_eq!(plugin.token().await.unwrap().expose(), "t2");
    }

    #[tokio::test]
    async fn a_certificate_becomes_the_user_of_the_kubeconfig() {
        let script =
            "echo '{\"status\":{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\"}}'";
        let certificate = plugin(script, TIMEOUT).sign_in().await.unwrap().unwrap();
        let expected = json!({ "client-certificate-data": "Yw==", "client-key-data": "aw==" });
        assert_eq!(certificate.fields(), expected);
    }

    #[tokio::test]
    async fn a_plugin_that_waits_or_fails_is_named_with_its_last_line() {
        let second = Duration::from_secs(1);
        for (script, words) in [
            ("echo 'open https://microsoft.com/devicelogin' >&2; exec sleep 600", "devicelogin"),
            // Standard input is at its end.
            ("echo begin >&2; read line || { echo 'no input' >&2; exit 3; }", "3): no input"),
            ("echo nonsense", "in JSON"),
            ("echo '{}'", "neither a token"),
            (
                "echo '{\"status\":{\"token\":\"t\",\"expirationTimestamp\":\
                 \"2020-01-01T00:00:00Z\"}}'",
                "has expired",
            ),
        ] {
            let error = plugin(script, second).token().await.unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("`/bin/sh`"), "{error}");
        }
        let mut interactive = plugin("echo never", second);
        interactive.exec.interactive_mode = Some(ExecInteractiveMode::Always);
        let error = interactive.token().await.unwrap_err().to_string();
        assert!(error.contains("requires a terminal"), "{error}");
        let mut missing = plugin("", second);
        missing.exec.command = Some("/missing/plugin".to_owned());
        missing.exec.install_hint = Some("install the plugin".to_owned());
        let error = missing.token().await.unwrap_err().to_string();
        assert!(error.contains("install the plugin"), "{error}");
    }
}
