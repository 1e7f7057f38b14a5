//! The sandbox's API server, served on loopback with TLS.

use serde_json::json;
use stargate::resource::ArmId;
use stargate::sandbox::serve::{ServeOptions, Server};
use stargate::sandbox::{SandboxState, SharedSandbox, arm};

use crate::certificates::encode;

/// The running sandbox.
pub(crate) struct Sandbox {
    pub(crate) kubeconfig: String,
    server: Server,
}

impl Sandbox {
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

/// A sandbox that contains only an AKS cluster.
pub(crate) async fn start() -> Sandbox {
    let sandbox = SharedSandbox::new(SandboxState::new(1));
    sandbox.change(|sandbox, _| {
        let group = ArmId::resource_group(arm::SUBSCRIPTION, "lab");
        let cluster = group.in_group("Microsoft.ContainerService/managedClusters", "lab");
        let SandboxState { arm, entropy, .. } = sandbox;
        let state = "Succeeded";
        let body =
            json!({ "location": "westeurope", "properties": { "provisioningState": state } });
        arm.upsert(&group, body, &mut || entropy.next_guid());
        let body = json!({ "location": "westeurope", "properties": {
            "provisioningState": state,
            "kubernetesVersion": "1.33.13",
            "fqdn": "lab.hcp.westeurope.azmk8s.io",
            "nodeResourceGroup": "MC_lab_lab_westeurope",
            "networkProfile": { "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16" },
            "agentPoolProfiles": [],
        }});
        arm.upsert(&cluster, body, &mut || entropy.next_guid());
    });
    let options = ServeOptions { tls: true, ..ServeOptions::default() };
    let server = Server::start(sandbox.clone(), options).await.unwrap();
    let access = sandbox.read(|sandbox| sandbox.cluster_access.clone()).unwrap();
    let authority = server.endpoints.certificate.clone().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": {
            "server": server.endpoints.kubernetes,
            "certificate-authority-data": encode(authority.as_bytes()),
        }}],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "users": [{ "name": "lab", "user": { "token": access.token } }],
    });
    Sandbox { kubeconfig: kubeconfig.to_string(), server }
}
