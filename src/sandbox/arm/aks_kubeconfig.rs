//! The kubeconfig that AKS returns for a cluster, of the one that is stored for it.

use serde_json::Value;

use super::aks_entra;
use super::errors::ArmError;
use super::json::text;
use super::path::ArmAction;
use super::request::ArmRequest;

/// The answer to a request for credentials.
pub(super) fn answer(
    cluster: &Value,
    action: ArmAction,
    call: &ArmRequest<'_>,
    stored: &str,
) -> Result<String, ArmError> {
    let kubeconfig = aks_entra::kubeconfig(cluster, action, stored)?;
    let asks_public = call.parameter("server-fqdn").is_some_and(|it| it == "public");
    let names = (text(cluster, "/properties/fqdn"), text(cluster, "/properties/privateFQDN"));
    Ok(match names {
        // A private cluster is known by its private name, unless the public one is asked for.
        (Some(public), Some(private)) if !asks_public => kubeconfig.replace(public, private),
        _ => kubeconfig,
    })
}
