//! The causes that Microsoft Entra ID gives for a refusal, each with its remedy.

use super::method::{Application, Proof};
use crate::provider::error::{RequestError, ServiceError};
use crate::provider::http::Api;

/// The beginning of a code of Microsoft Entra ID.
const PREFIX: &str = "AADSTS";
/// The beginning of what follows the message: ids and the time for the support.
const TRACE: &str = "Trace ID:";

/// The refusal of an application.
pub(super) fn refusal(application: &Application, error: &ServiceError) -> RequestError {
    let text = if error.message.is_empty() { &error.code } else { &error.message };
    let cause = text.split(TRACE).next().unwrap_or_default().trim().to_owned();
    let remedy = number(&cause).and_then(|code| remedy(code, application));
    RequestError::Credentials {
        api: Api::Azure,
        reason: format!("the sign-in with {} was refused: {cause}", application.proof.origin()),
        refused: true,
        remedy: remedy.unwrap_or_else(|| {
            format!(
                "check the tenant {}, the application {} and its credential in the Microsoft \
                 Entra admin center under App registrations",
                application.tenant, application.client
            )
        }),
    }
}

/// The number of the code that a message begins with.
fn number(message: &str) -> Option<u32> {
    let digits = message.strip_prefix(PREFIX)?;
    let end = digits.find(|one: char| !one.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The remedy for a code of *Microsoft Entra authentication and authorization error codes*.
fn remedy(code: u32, application: &Application) -> Option<String> {
    let Application { tenant, client, proof } = application;
    Some(match code {
        7_000_215 => format!(
            "set AZURE_CLIENT_SECRET to the value of a secret, not to its ID; `az ad app \
             credential reset --id {client}` creates one"
        ),
        7_000_222 => format!(
            "the secret has expired: create another one with `az ad app credential reset --id \
             {client}`, and set AZURE_CLIENT_SECRET to it"
        ),
        700_016 => format!(
            "set AZURE_CLIENT_ID to the application (client) ID of an application in the tenant \
             {tenant}: `az ad sp show --id {client}` finds it; an application of another cloud \
             needs [azure] cloud"
        ),
        90_002 | 900_023 => "set AZURE_TENANT_ID to the ID of the tenant: `az account show` \
                             prints it; a tenant of another cloud needs [azure] cloud"
            .to_owned(),
        70_021 | 700_211 | 700_212 | 700_213 => format!(
            "add a federated credential with the issuer, subject and audience in the message: \
             `az ad app federated-credential create --id {client}`; `az ad app \
             federated-credential list --id {client}` shows the present ones"
        ),
        700_024 => match proof {
            Proof::TokenFile(path) => format!(
                "the token in `{}` has expired: its issuer must renew the file",
                path.display()
            ),
            _ => "set the clock of this machine: the assertion is not valid at the time of the \
                  sign-in service"
                .to_owned(),
        },
        700_027 | 7_000_214 => format!(
            "upload the certificate to the application: `az ad app credential reset --id {client} \
             --cert @CERTIFICATE.pem --append`, or correct AZURE_CLIENT_CERTIFICATE_PATH; an \
             expired certificate must be replaced"
        ),
        7_000_112 => format!(
            "the application is disabled: an administrator enables it with `az ad sp update --id \
             {client} --set accountEnabled=true`"
        ),
        53_003 | 530_003 => "a Conditional Access policy blocks the sign-in: run stargate where \
                             the policy allows it, or ask an administrator to exclude the \
                             workload identity"
            .to_owned(),
        500_011 => "the tenant does not know the audience: correct [azure] cloud or \
                    [azure.endpoints] audience"
            .to_owned(),
        900_382 | 900_432 => "the tenant belongs to another cloud: set [azure] cloud".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Code, Failure};
    use crate::provider::secret::Secret;

    fn failure(message: &str, proof: Proof) -> Failure {
        let application =
            Application { tenant: "the-tenant".to_owned(), client: "the-client".to_owned(), proof };
        let body = serde_json::json!({ "error": "invalid_client", "error_description": message });
        Failure::from(&refusal(&application, &ServiceError::from_value(&body)))
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let secret = || Proof::Secret(Secret::new("marked"));
        for (code, words) in [
            (7_000_215, "az ad app credential reset --id the-client"),
            (7_000_222, "expired"),
            (700_016, "AZURE_CLIENT_ID"),
            (90_002, "AZURE_TENANT_ID"),
            (900_023, "AZURE_TENANT_ID"),
            (70_021, "federated-credential create --id the-client"),
            (700_211, "federated-credential create"),
            (700_212, "federated-credential create"),
            (700_213, "federated-credential create"),
            (700_024, "clock"),
            (700_027, "--cert"),
            (7_000_112, "accountEnabled=true"),
            (53_003, "Conditional Access"),
            (500_011, "audience"),
            (900_382, "[azure] cloud"),
            (1, "App registrations"),
        ] {
            let message = format!("AADSTS{code}: It failed.\r\nTrace ID: 1 Correlation ID: 2");
            let found = failure(&message, secret());
            assert_eq!(found.code, Code::AzureRefused);
            assert!(found.remedy.contains(words), "{code}: {}", found.remedy);
            assert!(found.message.contains(&format!("AADSTS{code}: It failed.")), "{found:?}");
            assert!(!found.message.contains("Trace ID"), "{found:?}");
        }
        let file = failure("AADSTS700024: Expired.", Proof::TokenFile("/run/token".into()));
        assert!(file.remedy.contains("/run/token"), "{}", file.remedy);
        let other = failure("", secret());
        assert!(other.message.contains("invalid_client"), "{}", other.message);
    }
}
