//! AKS clusters that accept identities of Microsoft Entra ID: their kubeconfig, and why
//! their API server refuses an identity.

use http::StatusCode;
use kube::config::{AuthInfo, Kubeconfig};
use serde_json::{Value, json};

use super::client::{current_user, parse};
use super::error::{ClusterError, is_of_admission};
use crate::diagnostics::ServiceText;
use crate::resource::ArmId;

/// The role in Azure that permits everything in the cluster.
const CLUSTER_ADMIN: &str = "Azure Kubernetes Service RBAC Cluster Admin";
/// The name that client-go had for tokens of Microsoft Entra ID, before plugins.
const AUTH_PROVIDER: &str = "azure";
/// The setting of the provider with the cluster's ID in Azure.
const CLUSTER_ID: &str = "cluster-id";

/// A cluster whose API server accepts tokens of the Azure credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntraCluster {
    /// Its ID in Azure, if it is known.
    id: Option<String>,
}

/// A kubeconfig of Azure whose user has to sign in to Microsoft Entra ID, with a user that
/// signs in with the Azure credential; `None` if its user has a credential.
///
/// Azure writes a plugin with a device code into it, which waits for a person.
///
/// # Errors
///
/// The text is no kubeconfig.
pub fn with_entra_user(text: &str, cluster: &ArmId) -> Result<Option<String>, ClusterError> {
    let mut kubeconfig = parse(text)?;
    let Some(user) = current_user(&mut kubeconfig) else { return Ok(None) };
    let is_provider = user.auth_provider.as_ref().is_some_and(|it| it.name == AUTH_PROVIDER);
    if user.exec.is_none() && !is_provider {
        return Ok(None);
    }
    let provider = json!({ "name": AUTH_PROVIDER, "config": { CLUSTER_ID: cluster.as_str() } });
    *user = read_user(json!({ "auth-provider": provider }));
    // JSON is YAML.
    Ok(serde_json::to_string(&kubeconfig).ok())
}

/// A user of a kubeconfig with these fields.
pub(super) fn read_user(fields: Value) -> AuthInfo {
    serde_json::from_value(fields).unwrap_or_default()
}

/// Takes the sign-in to Microsoft Entra ID from the user of a kubeconfig, if that is how it
/// signs in.
pub(super) fn take_sign_in(kubeconfig: &mut Kubeconfig) -> Option<EntraCluster> {
    let user = current_user(kubeconfig)?;
    let provider = user.auth_provider.take_if(|provider| provider.name == AUTH_PROVIDER)?;
    Some(EntraCluster { id: provider.config.get(CLUSTER_ID).cloned() })
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/\
                      managedClusters/k";

    fn kubeconfig(user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{ \
             cluster: k, user: u }}\nclusters:\n- name: k\n  cluster: {{ server: 'https://k' }}\n\
             users:\n- name: other\n  user: {{ token: t }}\n- name: u\n  user: {user}\n"
        )
    }

    #[test]
    fn only_a_user_that_has_to_sign_in_is_replaced() {
        let plugin = "{ exec: { apiVersion: v1, command: kubelogin, args: [get-token] } }";
        let provider = "{ auth-provider: { name: azure, config: { apiserver-id: x } } }";
        for user in [plugin, provider] {
            let text = with_entra_user(&kubeconfig(user), &ArmId::new(ID)).unwrap().unwrap();
            assert!(!text.contains("kubelogin") && text.contains("https://k"), "{text}");
            let mut kubeconfig = parse(&text).unwrap();
            let cluster = take_sign_in(&mut kubeconfig).unwrap();
            assert_eq!(cluster.id.as_deref(), Some(ID));
            assert_eq!(take_sign_in(&mut kubeconfig), None);
        }
        for user in ["{ token: t }", "{ client-certificate-data: eA==, client-key-data: eA== }"] {
            assert_eq!(with_entra_user(&kubeconfig(user), &ArmId::new(ID)).unwrap(), None);
        }
    }

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
