//! The service account of a pod that stargate runs in.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;

/// Where Kubernetes mounts the token and the CA into a pod.
pub const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The credentials of a pod's service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    host: String,
    port: String,
    certificate_authority: Vec<u8>,
    token_file: PathBuf,
}

impl ServiceAccount {
    /// The account of the pod that this process runs in, or `None` outside of one.
    ///
    /// `mount` is [`MOUNT`] but in tests. The token stays in its file: Kubernetes
    /// renews it there.
    pub fn of_pod(lookup: &dyn Fn(&str) -> Option<String>, mount: &Path) -> Option<Self> {
        let token_file = mount.join("token");
        let certificate_authority = std::fs::read(mount.join("ca.crt")).ok()?;
        token_file.exists().then_some(Self {
            host: lookup("KUBERNETES_SERVICE_HOST")?,
            port: lookup("KUBERNETES_SERVICE_PORT")?,
            certificate_authority,
            token_file,
        })
    }

    /// Whether the account is of the cluster of that name. On AKS the annotation
    /// `kubernetes.azure.com/set-kube-service-host-fqdn` makes the cluster's own name the
    /// host that a pod reaches; any other host proves nothing.
    pub fn is_of(&self, fqdn: &str) -> bool {
        self.host.eq_ignore_ascii_case(fqdn)
    }

    /// A kubeconfig with the account.
    pub fn kubeconfig(&self) -> String {
        let authority =
            base64::engine::general_purpose::STANDARD.encode(&self.certificate_authority);
        let name = "service-account";
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
            "clusters": [{ "name": name, "cluster": {
                "server": format!("https://{}:{}", self.host, self.port),
                "certificate-authority-data": authority,
            } }],
            "users": [{ "name": name, "user": { "tokenFile": self.token_file } }],
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::cluster::server_of_kubeconfig;

    fn variables(name: &str) -> Option<String> {
        match name {
            "KUBERNETES_SERVICE_HOST" => Some("c-1.hcp.westeurope.azmk8s.io".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_pod_has_the_credentials_of_its_cluster_only() {
        let mount = tempfile::tempdir().unwrap();
        std::fs::write(mount.path().join("ca.crt"), "authority").unwrap();
        assert_eq!(ServiceAccount::of_pod(&variables, mount.path()), None);
        std::fs::write(mount.path().join("token"), "marked").unwrap();
        assert_eq!(ServiceAccount::of_pod(&|_| None, mount.path()), None);
        let account = ServiceAccount::of_pod(&variables, mount.path()).unwrap();
        assert!(account.is_of("C-1.hcp.westeurope.azmk8s.io"));
        assert!(!account.is_of("c-2.hcp.westeurope.azmk8s.io"));
        let server = server_of_kubeconfig(&account.kubeconfig()).unwrap();
        assert_eq!(server.host, "c-1.hcp.westeurope.azmk8s.io");
        assert_eq!(server.certificate_authority_data.as_deref(), Some("YXV0aG9yaXR5"));
        assert!(!account.kubeconfig().contains("marked"));
    }
}
