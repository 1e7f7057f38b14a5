//! The method of sign-in to Azure, from the environment.

use std::path::PathBuf;

use crate::provider::credentials::Lookup;
use crate::provider::error::RequestError;
use crate::provider::http::Api;
use crate::provider::secret::Secret;

/// Chooses one credential of several, as for Azure's own clients (*Credential chains in the
/// Azure Identity library*).
const CHOICE: &str = "AZURE_TOKEN_CREDENTIALS";
/// Replaces the address of the metadata service, as for Azure's own clients.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// How stargate signs in to Azure.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// As an application that has an account in a tenant.
    Application(Application),
    /// As the identity of the machine or the app that stargate runs on.
    ManagedIdentity(ManagedIdentity),
    /// As the account of `az login`.
    AzureCli,
}

/// An application and its proof.
#[derive(Debug, Clone)]
pub struct Application {
    /// The tenant.
    pub tenant: String,
    /// The application's (client) ID.
    pub client: String,
    /// The proof that stargate acts for it.
    pub proof: Proof,
}

/// The proof that a client acts for an application.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A client secret.
    Secret(Secret),
    /// A file with a certificate and its private key in PEM.
    Certificate {
        /// The file.
        path: PathBuf,
        /// Whether to send the certificates, for applications that trust an issuer.
        send_chain: bool,
    },
    /// A file with a token of another issuer, which renews it.
    TokenFile(PathBuf),
    /// The OIDC token of a GitHub Actions job.
    GitHub {
        /// The URL that issues it.
        url: String,
        /// The authorization of the job.
        token: Secret,
    },
    /// The OIDC token of a service connection in Azure Pipelines.
    AzurePipelines {
        /// The URL that issues it.
        url: String,
        /// The service connection.
        connection: String,
        /// The authorization of the job.
        token: Secret,
    },
}

/// Where tokens of a managed identity come from.
#[derive(Debug, Clone)]
pub struct ManagedIdentity {
    /// The service on this machine.
    pub source: IdentitySource,
    /// The client ID of a user-assigned identity; `None` is the system-assigned one.
    pub client: Option<String>,
}

/// The service on this machine that issues tokens of its identity.
#[derive(Debug, Clone)]
pub enum IdentitySource {
    /// The instance metadata service of a VM, without a trailing slash.
    Imds(String),
    /// The endpoint of App Service, Container Apps and Functions.
    AppService {
        /// Its URL.
        url: String,
        /// The value that proves that a request comes from the app.
        header: Secret,
    },
}

impl SignIn {
    /// The method that the environment provides, the most specific first.
    ///
    /// # Errors
    ///
    /// A variable is missing beside another, or its value is unknown.
    pub fn from_environment(lookup: Lookup<'_>) -> Result<Self, RequestError> {
        let variables = Variables(lookup);
        match variables.get(CHOICE) {
            None => Self::first(&variables),
            Some(choice) => Self::chosen(&choice, &variables),
        }
    }

    fn first(variables: &Variables<'_>) -> Result<Self, RequestError> {
        if let Some(found) = Self::environment(variables)? {
            return Ok(found);
        }
        if let Some(found) = Self::federated(variables)? {
            return Ok(found);
        }
        if variables.get("IDENTITY_ENDPOINT").is_some() {
            return ManagedIdentity::of(variables).map(Self::ManagedIdentity);
        }
        Ok(Self::AzureCli)
    }

    fn chosen(choice: &str, variables: &Variables<'_>) -> Result<Self, RequestError> {
        let found = match choice.to_ascii_lowercase().as_str() {
            "environmentcredential" => Self::environment(variables)?,
            "workloadidentitycredential" | "azurepipelinescredential" => {
                Self::federated(variables)?
            }
            "managedidentitycredential" => {
                Some(Self::ManagedIdentity(ManagedIdentity::of(variables)?))
            }
            "azureclicredential" | "dev" => Some(Self::AzureCli),
            "prod" => match Self::environment(variables)? {
                Some(found) => Some(found),
                None => match Self::federated(variables)? {
                    Some(found) => Some(found),
                    None => Some(Self::ManagedIdentity(ManagedIdentity::of(variables)?)),
                },
            },
            _ => {
                return Err(missing(
                    format!("{CHOICE} is `{choice}`, which stargate does not know"),
                    "set it to EnvironmentCredential, WorkloadIdentityCredential, \
                     AzurePipelinesCredential, ManagedIdentityCredential, AzureCliCredential, \
                     `prod` or `dev`",
                ));
            }
        };
        found.ok_or_else(|| {
            missing(
                format!("{CHOICE} is `{choice}`, and the variables of that credential are not set"),
                "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, \
                 AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or unset \
                 AZURE_TOKEN_CREDENTIALS",
            )
        })
    }

    /// A service principal with a secret or a certificate.
    fn environment(variables: &Variables<'_>) -> Result<Option<Self>, RequestError> {
        let secret = "AZURE_CLIENT_SECRET";
        if let Some(value) = variables.get(secret) {
            return variables.application(secret, Proof::Secret(Secret::new(value))).map(Some);
        }
        let certificate = "AZURE_CLIENT_CERTIFICATE_PATH";
        let Some(path) = variables.get(certificate) else { return Ok(None) };
        let chain = variables.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        let send_chain = chain.is_some_and(|it| it == "1" || it.eq_ignore_ascii_case("true"));
        let proof = Proof::Certificate { path: path.into(), send_chain };
        variables.application(certificate, proof).map(Some)
    }

    /// A token of another issuer: a file, GitHub Actions or Azure Pipelines.
    fn federated(variables: &Variables<'_>) -> Result<Option<Self>, RequestError> {
        let file = "AZURE_FEDERATED_TOKEN_FILE";
        if let Some(path) = variables.get(file) {
            return variables.application(file, Proof::TokenFile(path.into())).map(Some);
        }
        // A job may have the permission `id-token: write` for another purpose.
        if variables.get("AZURE_CLIENT_ID").is_some()
            && let Some(url) = variables.get("ACTIONS_ID_TOKEN_REQUEST_URL")
            && let Some(token) = variables.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        {
            let proof = Proof::GitHub { url, token: Secret::new(token) };
            return variables.application("ACTIONS_ID_TOKEN_REQUEST_URL", proof).map(Some);
        }
        // The task `AzureCLI@2` with a service connection sets them.
        let id = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
        let Some(connection) = variables.get(id) else { return Ok(None) };
        let tenant = variables.beside("AZURESUBSCRIPTION_TENANT_ID", id)?;
        let client = variables.beside("AZURESUBSCRIPTION_CLIENT_ID", id)?;
        let url = variables.beside("SYSTEM_OIDCREQUESTURI", id)?;
        let token = Secret::new(variables.beside("SYSTEM_ACCESSTOKEN", id)?);
        let proof = Proof::AzurePipelines { url, connection, token };
        Ok(Some(Self::Application(Application { tenant, client, proof })))
    }

    /// Where the credentials come from, for messages.
    pub fn origin(&self) -> &'static str {
        match self {
            Self::Application(application) => application.proof.origin(),
            Self::ManagedIdentity(ManagedIdentity { source: IdentitySource::Imds(_), .. }) => {
                "the managed identity of this VM"
            }
            Self::ManagedIdentity(_) => "the managed identity of this app",
            Self::AzureCli => "the account of `az login`",
        }
    }
}

impl Proof {
    /// Where it comes from, for messages.
    pub(super) fn origin(&self) -> &'static str {
        match self {
            Self::Secret(_) => "AZURE_CLIENT_SECRET",
            Self::Certificate { .. } => "AZURE_CLIENT_CERTIFICATE_PATH",
            Self::TokenFile(_) => "AZURE_FEDERATED_TOKEN_FILE",
            Self::GitHub { .. } => "the OIDC token of GitHub Actions",
            Self::AzurePipelines { .. } => "the OIDC token of Azure Pipelines",
        }
    }
}

impl ManagedIdentity {
    /// The address of the instance metadata service is the same on every VM.
    const IMDS: &str = "http://169.254.169.254";

    fn of(variables: &Variables<'_>) -> Result<Self, RequestError> {
        let client = variables.get("AZURE_CLIENT_ID");
        let source = match (variables.get("IDENTITY_ENDPOINT"), variables.get("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => {
                IdentitySource::AppService { url, header: Secret::new(header) }
            }
            (Some(_), None) => {
                return Err(missing(
                    "IDENTITY_ENDPOINT is set, and IDENTITY_HEADER is not: managed identities of \
                     Azure Arc are not supported"
                        .to_owned(),
                    "use a service principal: set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
                     AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH",
                ));
            }
            (None, _) => {
                let host = variables.get(METADATA_HOST);
                let host = host.as_deref().unwrap_or(Self::IMDS);
                IdentitySource::Imds(host.trim_end_matches('/').to_owned())
            }
        };
        Ok(Self { source, client })
    }
}

/// The variables of the environment; one that is empty is not set.
struct Variables<'a>(Lookup<'a>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn beside(&self, name: &str, other: &str) -> Result<String, RequestError> {
        self.get(name).ok_or_else(|| {
            missing(
                format!("{other} is set, and {name} is not"),
                &format!("set {name}, or unset {other} to use the account of `az login`"),
            )
        })
    }

    fn application(&self, origin: &str, proof: Proof) -> Result<SignIn, RequestError> {
        let missing_beside = |name| self.beside(name, origin);
        let (tenant, client) =
            (missing_beside("AZURE_TENANT_ID")?, missing_beside("AZURE_CLIENT_ID")?);
        // It becomes a segment of a path.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if !tenant.bytes().all(allowed) || matches!(tenant.as_str(), "." | "..") {
            return Err(missing(
                format!("AZURE_TENANT_ID is `{tenant}`, which is no ID or domain of a tenant"),
                "set it to the tenant ID that `az account show` prints",
            ));
        }
        Ok(SignIn::Application(Application { tenant, client, proof }))
    }
}

/// Credentials that are missing or cannot be used as they are.
pub(super) fn missing(reason: String, remedy: &str) -> RequestError {
    RequestError::Credentials { api: Api::Azure, reason, refused: false, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: [&str; 2] = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"];

    fn found(names: &[&str], choice: Option<&str>) -> Result<&'static str, RequestError> {
        let lookup = |name: &str| match name {
            CHOICE => choice.map(str::to_owned),
            _ => names.contains(&name).then(|| "a-value".to_owned()),
        };
        SignIn::from_environment(&lookup).map(|it| it.origin())
    }

    #[test]
    fn the_most_specific_variable_decides() {
        let origin = |names: &[&str]| found(&[&TENANT, names].concat(), None).unwrap();
        let file = "AZURE_FEDERATED_TOKEN_FILE";
        assert_eq!(origin(&[]), "the account of `az login`");
        assert_eq!(origin(&["AZURE_CLIENT_SECRET", file]), "AZURE_CLIENT_SECRET");
        let certificate = "AZURE_CLIENT_CERTIFICATE_PATH";
        assert_eq!(origin(&[certificate, file]), certificate);
        assert_eq!(origin(&[file, "IDENTITY_ENDPOINT"]), file);
        let github = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
        assert_eq!(origin(&github), "the OIDC token of GitHub Actions");
        assert_eq!(found(&github, None).unwrap(), "the account of `az login`");
        let pipelines = [
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            "AZURESUBSCRIPTION_TENANT_ID",
            "AZURESUBSCRIPTION_CLIENT_ID",
            "SYSTEM_OIDCREQUESTURI",
            "SYSTEM_ACCESSTOKEN",
        ];
        assert_eq!(found(&pipelines, None).unwrap(), "the OIDC token of Azure Pipelines");
        let app = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"];
        assert_eq!(found(&app, None).unwrap(), "the managed identity of this app");
    }

    #[test]
    fn a_choice_excludes_the_others() {
        let all = [&TENANT[..], &["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"]].concat();
        for (choice, expected) in [
            ("EnvironmentCredential", "AZURE_CLIENT_SECRET"),
            ("workloadidentitycredential", "AZURE_FEDERATED_TOKEN_FILE"),
            ("ManagedIdentityCredential", "the managed identity of this VM"),
            ("AzureCliCredential", "the account of `az login`"),
            ("prod", "AZURE_CLIENT_SECRET"),
        ] {
            assert_eq!(found(&all, Some(choice)).unwrap(), expected, "{choice}");
        }
        assert_eq!(found(&[], Some("prod")).unwrap(), "the managed identity of this VM");
        for choice in ["EnvironmentCredential", "VisualStudioCodeCredential"] {
            let error = found(&[], Some(choice)).unwrap_err().to_string();
            assert!(error.contains(choice), "{error}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        for (names, missing) in [
            (&["AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID"][..], "AZURE_TENANT_ID is not"),
            (&["AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_TENANT_ID"], "AZURE_CLIENT_ID is not"),
            (&["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"], "AZURESUBSCRIPTION_TENANT_ID is not"),
            (&["IDENTITY_ENDPOINT"], "Azure Arc"),
        ] {
            let error = found(names, None).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
            assert!(error.is_refused());
        }
        let lookup = |name: &str| Some(if name == TENANT[0] { "../x" } else { "y" }.to_owned());
        let error = SignIn::first(&Variables(&lookup)).unwrap_err().to_string();
        assert!(error.contains("AZURE_TENANT_ID"), "{error}");
    }
}
