//! `stargate sandbox identity`: the identities and credentials that the sandbox accepts.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, sandbox_state};
use crate::diagnostics::Code;
use crate::sandbox::SandboxState;
use crate::sandbox::arm::{FederatedCredential, TENANT};

/// The identity and the changes of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdentityArguments {
    /// Name of the identity
    #[arg(value_name = "NAME")]
    name: String,
    /// Register a credential of the tailnet instead of an identity of Azure
    #[arg(long, value_enum, value_name = "KIND", conflicts_with_all = ["secret", "managed", "cluster_admin"])]
    tailscale: Option<TailnetKind>,
    /// Create a client secret and print it
    #[arg(long)]
    secret: bool,
    /// Seconds until the client secret expires
    #[arg(long, value_name = "SECONDS", requires = "secret")]
    secret_lifetime: Option<u32>,
    /// Accept assertions that are signed with the key of a certificate in PEM; with
    /// `--issuer`, tokens of the issuer
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Accept tokens of another issuer
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// The subject of the tokens of the issuer
    #[arg(long, value_name = "SUBJECT", requires = "issuer")]
    subject: Option<String>,
    /// Issue tokens to machines without a proof, as for a managed identity
    #[arg(long)]
    managed: bool,
    /// Assign the role `Azure Kubernetes Service RBAC Cluster Admin`
    #[arg(long)]
    cluster_admin: bool,
    /// Remove the secrets, certificates, issuers and the role of the identity first
    #[arg(long)]
    reset: bool,
    /// Refuse the identity and revoke its access tokens
    #[arg(long)]
    disable: bool,
    /// Revoke the access tokens of the identity; of the tailnet, those of all OAuth clients
    #[arg(long)]
    revoke_tokens: bool,
}

/// A kind of credentials of the tailnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TailnetKind {
    /// An API access token
    ApiKey,
    /// An OAuth client
    OauthClient,
    /// A federated identity, which accepts the tokens of `--issuer` and `--subject`
    FederatedIdentity,
}

/// Registers or changes an identity, and prints it.
pub(super) async fn run(
    arguments: &IdentityArguments,
    folder: &Path,
    ui: &Ui,
) -> Result<(), CliError> {
    check_kind(arguments)?;
    let certificate = arguments.certificate.as_deref().map(read_certificate).transpose()?;
    let (sandbox, saver) = sandbox_state::open(folder, None)?;
    let printed = sandbox.change(|sandbox, now| {
        sandbox.log.mark("sandbox identity", now);
        match arguments.tailscale {
            Some(kind) => tailnet(sandbox, kind, arguments, certificate.as_ref()),
            None => azure(sandbox, arguments, certificate.as_ref(), now),
        }
    });
    saver.close().await.map_err(|error| sandbox_state::of_folder(&error))?;
    ui.data(&format!("{printed}\n"))
}

/// Only a federated identity of the tailnet has an issuer, and it needs one to be registered.
fn check_kind(arguments: &IdentityArguments) -> Result<(), CliError> {
    let has_issuer = arguments.issuer.is_some();
    let refused = match arguments.tailscale {
        Some(TailnetKind::FederatedIdentity) => {
            let changes = arguments.disable || arguments.revoke_tokens;
            (!has_issuer && !changes).then_some("`federated-identity` needs `--issuer`")
        }
        Some(_) if has_issuer || arguments.certificate.is_some() => {
            Some("only `--tailscale federated-identity` has an issuer and a certificate")
        }
        _ => None,
    };
    match refused {
        Some(reason) => Err(CliError::new(reason)
            .remedy("`stargate sandbox identity --help` explains the options")
            .exit(exit::USAGE)),
        None => Ok(()),
    }
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, CliError> {
    CertificateDer::from_pem_file(path).map_err(|error| {
        let problem = format!("the certificate `{}` cannot be read: {error}", path.display());
        CliError::coded(Code::Unreadable, problem).remedy("name a file with a certificate in PEM")
    })
}

fn azure(
    sandbox: &mut SandboxState,
    arguments: &IdentityArguments,
    certificate: Option<&CertificateDer<'_>>,
    now: Timestamp,
) -> Value {
    let SandboxState { arm, entropy, .. } = sandbox;
    let directory = &mut arm.directory;
    let secret = arguments.secret.then(|| format!("sandbox~{}", entropy.next_guid()));
    let identity = directory.identity(&arguments.name, &mut || entropy.next_guid());
    if arguments.reset {
        identity.remove_credentials();
        identity.disabled = false;
        identity.cluster_admin = false;
    }
    identity.managed |= arguments.managed;
    identity.cluster_admin |= arguments.cluster_admin;
    identity.disabled |= arguments.disable;
    if let Some(secret) = &secret {
        let lifetime = arguments.secret_lifetime.map(|it| SignedDuration::from_secs(it.into()));
        let end = lifetime.map(|lifetime| now.checked_add(lifetime).unwrap_or(now));
        identity.add_secret(secret, end);
    }
    match (&arguments.issuer, &arguments.subject, certificate) {
        (Some(issuer), Some(subject), certificate) => {
            identity.add_federated(issuer, subject, certificate.map(AsRef::as_ref));
        }
        (_, _, Some(certificate)) => identity.add_certificate(certificate),
        _ => {}
    }
    let printed = json!({
        "name": arguments.name,
        "tenant_id": TENANT,
        "client_id": identity.client_id,
        "client_secret": secret,
        "disabled": identity.disabled,
    });
    if arguments.revoke_tokens || arguments.disable {
        directory.revoke_tokens(&arguments.name);
    }
    printed
}

fn tailnet(
    sandbox: &mut SandboxState,
    kind: TailnetKind,
    arguments: &IdentityArguments,
    certificate: Option<&CertificateDer<'_>>,
) -> Value {
    let SandboxState { tailnet, entropy, .. } = sandbox;
    let name = &arguments.name;
    if arguments.revoke_tokens || arguments.disable {
        tailnet.revoke_tokens();
    }
    let mut printed = json!({ "name": name });
    let credentials = &mut tailnet.credentials;
    if let Some(known) = credentials.get_mut(name).filter(|_| !arguments.reset) {
        known.revoked |= arguments.disable;
        return printed;
    }
    let (id, secret) = (entropy.next_number(), entropy.next_number());
    let id = format!("k{id:016x}");
    let secret = match kind {
        TailnetKind::ApiKey => {
            let secret = format!("tskey-api-{id}-{secret:016x}");
            credentials.insert(name, None, &secret);
            Some(secret)
        }
        TailnetKind::OauthClient => {
            let secret = format!("tskey-client-{id}-{secret:016x}");
            credentials.insert(name, Some(id.clone()), &secret);
            Some(secret)
        }
        TailnetKind::FederatedIdentity => {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let (issuer, subject) = (text(&arguments.issuer), text(&arguments.subject));
            let certificate = certificate.map(AsRef::as_ref);
            let accepts = FederatedCredential::new(&issuer, &subject, certificate);
            credentials.insert_federated(name, &id, accepts);
            None
        }
    };
    printed["client_id"] = json!((kind != TailnetKind::ApiKey).then_some(id));
    printed["secret"] = json!(secret);
    printed
}
