//! AKS clusters that accept identities of Microsoft Entra ID.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::credentials::{AKS_SERVER, SERVED_TOKEN};
use super::errors::ArmError;
use super::path::ArmAction;
use super::{ArmStore, TENANT, json};
use crate::resource::ArmId;
use crate::sandbox::kubernetes::UserInfo;

/// The members of this group may do everything.
const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
/// The public client that kubelogin signs in with.
const CLIENT: &str = "80faf920-1908-4b52-b5ef-a8e7bedfc67a";

/// Adds what the service fills in, or refuses settings that contradict each other.
pub(super) fn complete(body: &mut Value) -> Result<(), ArmError> {
    if body.pointer("/properties/aadProfile").is_some_and(Value::is_object) {
        for (member, value) in [
            ("managed", json!(true)),
            ("enableAzureRBAC", json!(false)),
            ("tenantID", json!(TENANT)),
        ] {
            json::fill(body, &["properties", "aadProfile", member], value);
        }
        return Ok(());
    }
    match has_local_accounts(body) {
        true => Ok(()),
        false => Err(ArmError::bad(
            "BadRequest",
            "Local accounts can only be disabled on clusters that are integrated with Microsoft \
             Entra ID. Please set aadProfile.",
        )),
    }
}

/// The kubeconfig that a cluster returns, of the one that is stored for it.
pub(super) fn kubeconfig(
    cluster: &Value,
    action: ArmAction,
    stored: &str,
) -> Result<String, ArmError> {
    match action {
        ArmAction::UserCredential if is_integrated(cluster) => Ok(with_plugin(stored)),
        ArmAction::AdminCredential if !has_local_accounts(cluster) => Err(ArmError::bad(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable \
             local accounts.",
        )),
        _ => Ok(stored.to_owned()),
    }
}

/// The kubeconfig, which ends with the fields of its user, with a plugin that waits for a
/// person instead of them.
fn with_plugin(kubeconfig: &str) -> String {
    let user = "  user:\n";
    let end = kubeconfig.rfind(user).map_or(kubeconfig.len(), |at| at + user.len());
    let rest = kubeconfig.get(..end).unwrap_or_default();
    format!(
        "{rest}    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: \
         kubelogin\n      args: [get-token, --environment, AzurePublicCloud, --server-id, \
         {AKS_SERVER}, --client-id, {CLIENT}, --tenant-id, {TENANT}, --login, devicecode]\n      \
         provideClusterInfo: false\n"
    )
}

fn has_local_accounts(cluster: &Value) -> bool {
    cluster.pointer("/properties/disableLocalAccounts") != Some(&json!(true))
}

fn is_integrated(cluster: &Value) -> bool {
    cluster.pointer("/properties/aadProfile").is_some_and(Value::is_object)
}

impl ArmStore {
    /// The user that a token of Microsoft Entra ID authenticates to a cluster.
    pub(in crate::sandbox) fn entra_user(
        &self,
        cluster: &ArmId,
        token: &str,
        now: Timestamp,
    ) -> Option<UserInfo> {
        let body = self.get(cluster).filter(|body| is_integrated(body))?;
        let user = |name: &str, is_admin: bool| {
            let groups = [AUTHENTICATED].into_iter().chain(is_admin.then_some(MASTERS));
            UserInfo { name: name.to_owned(), groups: groups.map(str::to_owned).collect() }
        };
        if token == SERVED_TOKEN {
            return Some(user(SERVED_TOKEN, true));
        }
        let accepts = |audience: &str| audience.trim_end_matches('/') == AKS_SERVER;
        let identity = self.directory.identity_of(token, accepts, now).ok()?;
        let by_role = body.pointer("/properties/aadProfile/enableAzureRBAC") == Some(&json!(true));
        Some(match identity {
            // The client ID stands for the object ID of the service principal, too.
            Some(identity) => user(&identity.client_id, by_role && identity.cluster_admin),
            None => user(SERVED_TOKEN, true),
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::Method;

    use super::super::test_client::{GROUP, TestClient};
    use super::*;

    fn cluster() -> String {
        format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/k")
    }

    fn body(settings: Value) -> Value {
        let mut body = json!({
            "location": "westeurope",
            "identity": { "type": "SystemAssigned" },
            "properties": {
                "dnsPrefix": "k",
                "agentPoolProfiles": [{
                    "name": "p", "mode": "System", "count": 1, "vmSize": "Standard_D4s_v5",
                }],
            },
        });
        for (name, value) in settings.as_object().unwrap() {
            body["properties"][name] = value.clone();
        }
        body
    }

    fn made(settings: Value) -> TestClient {
        let mut client = TestClient::new();
        client.make(&cluster(), body(settings));
        let stored = "users:\n- name: clusterUser\n  user:\n    token: static\n";
        client.store.set_kubeconfig(&ArmId::new(cluster()), stored.to_owned());
        client
    }

    fn credential(client: &mut TestClient, action: &str) -> Result<String, String> {
        let reply = client.call(Method::POST, &format!("{}/{action}", cluster()), &[], None);
        match reply.body["kubeconfigs"][0]["value"].as_str() {
            Some(text) => Ok(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()),
            None => Err(reply.body["error"]["message"].as_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn a_cluster_with_entra_returns_a_plugin_and_without_local_accounts_nothing_else() {
        let (user, admin) = ("listClusterUserCredential", "listClusterAdminCredential");
        let mut client = made(json!({}));
        assert!(credential(&mut client, user).unwrap().contains("token: static"));
        let mut client = made(json!({ "aadProfile": {} }));
        let plugin = credential(&mut client, user).unwrap();
        assert!(plugin.contains("command: kubelogin") && !plugin.contains("static"), "{plugin}");
        assert!(credential(&mut client, admin).unwrap().contains("token: static"));
        let mut client = made(json!({ "aadProfile": {}, "disableLocalAccounts": true }));
        assert!(credential(&mut client, user).unwrap().contains("devicecode"));
        assert!(credential(&mut client, admin).unwrap_err().starts_with("Getting static"));
        let mut client = TestClient::new();
        let refused = client.put(&cluster(), body(json!({ "disableLocalAccounts": true })));
        assert_eq!(refused.refusal(), (400, "BadRequest"));
    }

    #[test]
    fn only_tokens_for_the_api_server_authenticate_and_only_the_role_makes_an_administrator() {
        let settings = json!({ "aadProfile": { "enableAzureRBAC": true } });
        let (mut with, mut without) = (made(settings), made(json!({})));
        let (id, now) = (ArmId::new(cluster()), Timestamp::UNIX_EPOCH);
        for client in [&mut with, &mut without] {
            let directory = &mut client.store.directory;
            directory.identity("app", &mut || "app-id".to_owned());
            for (token, audience) in [("1", AKS_SERVER), ("2", "https://management.azure.com")] {
                directory.issue("app", audience, now, &mut || token.to_owned());
            }
        }
        let user = |client: &TestClient, token: &str, now| client.store.entra_user(&id, token, now);
        assert_eq!(user(&without, "sandbox-1", now), None);
        assert_eq!(user(&with, "sandbox-2", now), None);
        assert_eq!(user(&with, "anything", now), None);
        assert_eq!(user(&with, "sandbox-1", Timestamp::from_second(9_999).unwrap()), None);
        let plain = user(&with, "sandbox-1", now).unwrap();
        assert_eq!(
            (plain.name.as_str(), &plain.groups[..]),
            ("app-id", &[AUTHENTICATED.to_owned()][..])
        );
        with.store.directory.identity("app", &mut String::new).cluster_admin = true;
        let groups = user(&with, "sandbox-1", now).unwrap().groups;
        assert!(groups.iter().any(|group| group == MASTERS), "{groups:?}");
        with.store.directory.revoke_tokens("app");
        assert_eq!(user(&with, "sandbox-1", now), None);
    }
}
