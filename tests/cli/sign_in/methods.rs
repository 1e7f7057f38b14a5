//! The methods of sign-in to Azure: how each is set up, and how it is wrong.

use std::time::Duration;

use serde_json::{Value, json};

use super::issuer::{self, ISSUER, JOB, SUBJECT};
use super::service::{Environment, Service, environment};
use crate::location::TestFolder;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Secret,
    Certificate,
    TokenFile,
    GitHub,
    AzurePipelines,
    Imds,
    AppService,
    AzureCli,
}

impl Method {
    pub(super) const ALL: [Self; 8] = [
        Self::Secret,
        Self::Certificate,
        Self::TokenFile,
        Self::GitHub,
        Self::AzurePipelines,
        Self::Imds,
        Self::AppService,
        Self::AzureCli,
    ];

    /// Registers the identity `app` and returns the variables that sign in as it.
    pub(super) fn register(self, service: &Service) -> Environment {
        let federated =
            format!("app --issuer {ISSUER} --subject {SUBJECT} --certificate {}", file("other"));
        let identity = service.identity(&match self {
            Self::Secret | Self::AzureCli => "app --secret".to_owned(),
            Self::Certificate => format!("app --certificate {}", file("application")),
            Self::TokenFile | Self::GitHub | Self::AzurePipelines => federated,
            Self::Imds | Self::AppService => "app --managed".to_owned(),
        });
        let text = |name: &str| identity[name].as_str().unwrap_or_default().to_owned();
        let (tenant, client) = (text("tenant_id"), text("client_id"));
        let account = [("AZURE_TENANT_ID", tenant.as_str()), ("AZURE_CLIENT_ID", &client)];
        let with = |others: &[(&str, &str)]| environment(&[&account[..], others].concat());
        match self {
            Self::Secret => with(&[("AZURE_CLIENT_SECRET", &text("client_secret"))]),
            Self::Certificate => with(&[("AZURE_CLIENT_CERTIFICATE_PATH", &file("application"))]),
            Self::TokenFile => {
                service.folder.write("token", issuer::token(SUBJECT));
                let path = service.folder.path("token");
                with(&[("AZURE_FEDERATED_TOKEN_FILE", &path.to_string_lossy())])
            }
            Self::GitHub => with(&[
                ("ACTIONS_ID_TOKEN_REQUEST_URL", &issuer::serve()),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB),
            ]),
            Self::AzurePipelines => environment(&[
                ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection"),
                ("AZURESUBSCRIPTION_TENANT_ID", &tenant),
                ("AZURESUBSCRIPTION_CLIENT_ID", &client),
                ("SYSTEM_OIDCREQUESTURI", &issuer::serve()),
                ("SYSTEM_ACCESSTOKEN", JOB),
            ]),
            Self::Imds => environment(&[
                ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"),
                ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.url("azure")),
                ("AZURE_CLIENT_ID", &client),
            ]),
            Self::AppService => environment(&[
                ("IDENTITY_ENDPOINT", &format!("{}/msi/token", service.url("azure"))),
                ("IDENTITY_HEADER", "sandbox"),
            ]),
            Self::AzureCli => azure_cli(service, &identity),
        }
    }

    /// Variables that make it wrong, with words of the error and its remedy.
    pub(super) fn wrong(self, service: &Service) -> (Environment, [&'static str; 2]) {
        let (name, value, words) = match self {
            Self::Secret => {
                ("AZURE_CLIENT_SECRET", "wrong".to_owned(), ["AADSTS7000215", "credential reset"])
            }
            Self::Certificate => {
                ("AZURE_CLIENT_CERTIFICATE_PATH", file("other"), ["AADSTS700027", "--cert"])
            }
            Self::TokenFile => {
                service.folder.write("wrong-token", issuer::token("another-subject"));
                let path = service.folder.path("wrong-token").to_string_lossy().into_owned();
                let words = ["AADSTS700213", "federated-credential create"];
                ("AZURE_FEDERATED_TOKEN_FILE", path, words)
            }
            Self::GitHub => (
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "wrong".to_owned(),
                ["answered 403", "`id-token: write`"],
            ),
            Self::AzurePipelines => {
                ("SYSTEM_ACCESSTOKEN", "wrong".to_owned(), ["answered 403", "System.AccessToken"])
            }
            Self::Imds => (
                "AZURE_CLIENT_ID",
                "wrong".to_owned(),
                ["Identity not found", "the client ID wrong (AZURE_CLIENT_ID)"],
            ),
            Self::AppService => (
                "IDENTITY_HEADER",
                "wrong".to_owned(),
                ["The identity header is wrong", "IDENTITY_HEADER as the app sets"],
            ),
            Self::AzureCli => {
                let script = "echo \"Please run 'az login' to setup account.\" >&2; exit 1";
                let path = install(&service.folder, "wrong-bin", script);
                ("PATH", path, ["Please run 'az login'", "run `az login`"])
            }
        };
        (environment(&[(name, &value)]), words)
    }

    /// Words of the error once the identity is disabled.
    pub(super) fn disabled(self) -> [&'static str; 2] {
        match self {
            Self::Imds => ["Identity not found", "az vm identity assign"],
            Self::AppService => ["Identity not found", "az webapp identity assign"],
            Self::AzureCli => ["InvalidAuthenticationToken", "az login"],
            _ => ["AADSTS7000112", "accountEnabled=true"],
        }
    }
}

/// A file with a certificate and its key.
fn file(name: &str) -> String {
    format!("{}/tests/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// A program `az` that prints the token in a file, as the Azure CLI prints one of its cache.
fn azure_cli(service: &Service, identity: &Value) -> Environment {
    write_azure_cli_token(service, identity);
    let path = install(&service.folder, "bin", "cat \"$HOME/az-token.json\"");
    environment(&[("PATH", &path)])
}

fn install(folder: &TestFolder, name: &str, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    folder.write(&format!("{name}/az"), format!("#!/bin/sh\n{script}\n"));
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(&format!("{name}/az")), mode).expect("a mode");
    format!("{}:/usr/bin:/bin", folder.path(name).display())
}

/// Signs in as the Azure CLI does, and writes what it would print.
pub(super) fn write_azure_cli_token(service: &Service, identity: &Value) {
    let text = |name: &str| identity[name].as_str().unwrap_or_default();
    let url = format!("{}/{}/oauth2/v2.0/token", service.url("azure"), text("tenant_id"));
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "https://management.azure.com/.default"),
        ("client_id", text("client_id")),
        ("client_secret", text("client_secret")),
    ];
    let authority = service.folder.read(".stargate/sandbox/certificate.pem");
    stargate::provider::reqwest_transport::install_cryptography();
    let fetch = async {
        let roots = reqwest::Certificate::from_pem_bundle(authority.as_bytes()).expect("a root");
        let builder = reqwest::Client::builder().tls_certs_only(roots).no_proxy();
        let client = builder.timeout(Duration::from_secs(10)).build().expect("a client");
        let response = client.post(url).form(&form).send().await.expect("a response");
        response.json::<Value>().await.expect("a token")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let granted = runtime.expect("a runtime").block_on(fetch);
    let lifetime = granted["expires_in"].as_i64().expect("a lifetime");
    let printed = json!({
        "accessToken": granted["access_token"],
        "expires_on": jiff::Timestamp::now().as_second() + lifetime,
        "tokenType": "Bearer",
    });
    let temporary = "az-token.new";
    service.folder.write(temporary, printed.to_string());
    let path = service.folder.path("az-token.json");
    std::fs::rename(service.folder.path(temporary), path).expect("a file");
}
