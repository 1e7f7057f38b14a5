//! The kubeconfig of AKS clusters that accept identities of Microsoft Entra ID.

use kube::config::{AuthInfo, Kubeconfig};
use serde_json::{Value, json};

use super::entra_refusal::EntraCluster;
use super::error::ClusterError;
use super::kubeconfig::{current_user, parse};
use crate::resource::ArmId;

/// The name that client-go had for tokens of Microsoft Entra ID, before plugins.
const AUTH_PROVIDER: &str = "azure";
/// The setting of the provider with the cluster's ID in Azure.
const CLUSTER_ID: &str = "cluster-id";

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
}
