//! Tokens of the account of `az login`.

use std::time::Duration;

use azure_core::credentials::TokenCredential as _;
use azure_core::time::OffsetDateTime;

use super::method::missing;
use crate::provider::credentials::Lookup;
use crate::provider::error::RequestError;
use crate::provider::secret::Secret;

const REMEDY: &str = "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of \
                      AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH and \
                      AZURE_FEDERATED_TOKEN_FILE; on a VM with a managed identity, set \
                      AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential";

/// Whether the Azure CLI is in the search path.
///
/// # Errors
///
/// It is not.
pub fn is_installed(lookup: Lookup<'_>) -> Result<(), RequestError> {
    let path = lookup("PATH").unwrap_or_default();
    let names: &[&str] = if cfg!(windows) { &["az.cmd", "az.exe"] } else { &["az"] };
    let mut folders = std::env::split_paths(&path);
    match folders.any(|folder| names.iter().any(|name| folder.join(name).is_file())) {
        true => Ok(()),
        false => Err(missing(
            "the environment has no credentials, and the Azure CLI is not in the PATH".to_owned(),
            REMEDY,
        )),
    }
}

/// A token, with its lifetime.
pub(super) async fn token(
    scope: &str,
    timeout: Duration,
) -> Result<(Secret, Duration), RequestError> {
    let scopes = [scope];
    let fetch =
        async { azure_identity::AzureCliCredential::new(None)?.get_token(&scopes, None).await };
    let token = match tokio::time::timeout(timeout, fetch).await {
        Ok(Ok(token)) => token,
        Ok(Err(error)) => return Err(missing(error.to_string(), REMEDY)),
        Err(_) => {
            let reason = format!("`az` returned no token within {} s", timeout.as_secs());
            return Err(missing(reason, REMEDY));
        }
    };
    let left = token.expires_on - OffsetDateTime::now_utc();
    let lifetime = Duration::try_from(left).unwrap_or_default();
    Ok((Secret::new(token.token.secret()), lifetime))
}
