//! Why the API server of an AKS cluster refuses an identity of Microsoft Entra ID.

use http::StatusCode;
use serde_json::Value;

use crate::diagnostics::ServiceText;

/// The role in Azure that permits everything in the cluster.
const CLUSTER_ADMIN: &str = "Azure Kubernetes Service RBAC Cluster Admin";

/// A cluster whose API server accepts tokens of the Azure credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntraCluster {
    /// Its ID in Azure, if it is known.
    pub(super) id: Option<String>,
}

/// The API server does not accept the identity of the Azure credential, or its role does not
/// permit the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct EntraRefusal {
    message: String,
    /// The remedy.
    pub(super) remedy: String,
}

/// The refusal of a request with a token of Microsoft Entra ID, unless it is one of an
/// admission webhook or policy, which no role in Azure changes.
pub(super) fn refusal(
    cluster: &EntraCluster,
    status: StatusCode,
    body: &[u8],
) -> Option<EntraRefusal> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let answered = body["message"].as_str().filter(|message| !message.is_empty());
    if status == StatusCode::FORBIDDEN && answered.is_some_and(is_of_admission) {
        return None;
    }
    let answered = String::from(ServiceText::message(answered.unwrap_or(status.as_str())));
    let identity = user_in(&answered).unwrap_or("IDENTITY").to_owned();
    let scope = cluster.id.as_deref().unwrap_or("CLUSTER");
    let assign = format!(
        "assign the identity the role `{CLUSTER_ADMIN}`: `az role assignment create --assignee \
         {identity} --role '{CLUSTER_ADMIN}' --scope '{scope}'`; in a cluster without Azure RBAC, \
         bind it instead: `kubectl create clusterrolebinding stargate --clusterrole=cluster-admin \
         --user={identity}`"
    );
    Some(if status == StatusCode::UNAUTHORIZED {
        let message =
            format!("the API server does not accept the token of the Azure credential: {answered}");
        let remedy = format!(
            "sign in to the tenant of the cluster, which `az aks show --ids '{scope}' --query \
             aadProfile.tenantID` prints, and {assign}"
        );
        EntraRefusal { message, remedy }
    } else {
        EntraRefusal { message: answered, remedy: assign }
    })
}

/// The user that a message names, as in `User "x" cannot list resource "nodes"`; only if it
/// is safe in a command line.
fn user_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    let is_safe = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '@' | '_');
    (!user.is_empty() && user.chars().all(is_safe)).then_some(user)
}

/// Whether an admission webhook or policy rejected the request.
pub(super) fn is_of_admission(message: &str) -> bool {
    let words = ["admission webhook", "ValidatingAdmissionPolicy", "admission policy"];
    words.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/\
                      managedClusters/k";

    #[test]
    fn a_refusal_names_the_role_the_identity_and_the_cluster() {
        let cluster = EntraCluster { id: Some(ID.to_owned()) };
        let refused = |status: u16, message: &str| {
            let body = json!({ "message": message }).to_string();
            refusal(&cluster, StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        let forbidden = refused(403, "nodes is forbidden: User \"a-b\" cannot list").unwrap();
        let role = format!("--assignee a-b --role '{CLUSTER_ADMIN}' --scope '{ID}'");
        assert!(forbidden.remedy.contains(&role), "{}", forbidden.remedy);
        let unsafe_name = refused(403, "User \"$(reboot)\" cannot list").unwrap();
        assert!(unsafe_name.remedy.contains("--assignee IDENTITY"), "{}", unsafe_name.remedy);
        let unauthorized = refused(401, "Unauthorized").unwrap();
        assert!(unauthorized.remedy.contains("aadProfile.tenantID"), "{}", unauthorized.remedy);
        assert!(unauthorized.remedy.contains(CLUSTER_ADMIN), "{}", unauthorized.remedy);
        assert_eq!(refused(403, "admission webhook \"w\" denied the request"), None);
    }
}
