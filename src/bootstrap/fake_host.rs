//! A minimal worker, whose kubelet asks the fake cluster for a certificate and registers.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine as _;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use super::CNI_CONFIGURATION_NAME;
use crate::desired::digest::text_digest;
use crate::provider::cluster::fake::FakeServer;
use crate::provider::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use crate::resource::host::WorkerHost;

const REQUEST: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/node-csr-1";
const NODE: &str = "/api/v1/nodes/dc1-w1";

#[derive(Debug)]
pub(super) struct FakeHost {
    pub(super) cluster: FakeServer,
    pub(super) state: Mutex<FakeHostState>,
}

#[derive(Debug)]
pub(super) struct FakeHostState {
    pub(super) probe: WorkerProbe,
    pub(super) steps: Vec<&'static str>,
    pub(super) fail: Option<&'static str>,
    pub(super) unreachable: bool,
    /// The name that the kubelet asks a certificate for.
    pub(super) requested_name: &'static str,
    pub(super) ready: bool,
    /// Whether it becomes reachable after a reboot.
    pub(super) comes_back: bool,
    token_id: Option<String>,
}

impl FakeHost {
    pub(super) fn new(cluster: FakeServer) -> Self {
        let probe = WorkerProbe {
            hostname: "dc1-w1".to_owned(),
            architecture: "x86_64".to_owned(),
            modules: BTreeSet::new(),
            container_runtime_version: None,
            kubelet_version: None,
            staged_packages: None,
            cni_plugins: false,
            cluster_ca_digest: None,
            kubelet_configuration_digest: None,
            client_certificate: false,
            bootstrap_kubeconfig: false,
            boot_id: "boot-1".to_owned(),
            routes_persistent: true,
            on_link: Default::default(),
            foreign_rules: Vec::new(),
            host: WorkerHost {
                cni_configuration: None,
                cni_chosen: None,
                ip_forwarding: false,
                wrong_sysctls: Default::default(),
                swap: ["/swapfile".to_owned()].into(),
                persistent: false,
                container_runtime_active: false,
                kubelet_active: false,
                kernel_routes: Default::default(),
                stamp: None,
            },
        };
        let state = FakeHostState {
            probe,
            steps: Vec::new(),
            fail: None,
            unreachable: false,
            requested_name: "system:node:dc1-w1",
            ready: true,
            comes_back: true,
            token_id: None,
        };
        Self { cluster, state: Mutex::new(state) }
    }

    pub(super) fn take_steps(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state.lock().unwrap().steps)
    }

    fn ask(&self, state: &FakeHostState) {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, state.requested_name);
        let key = KeyPair::generate().unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let token = state.token_id.as_deref().unwrap_or_default();
        let request = json!({
            "metadata": { "name": "node-csr-1", "resourceVersion": "1" },
            "spec": {
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "username": format!("system:bootstrap:{token}"),
                "usages": ["digital signature", "client auth"],
                "request": base64::engine::general_purpose::STANDARD.encode(pem),
            },
        });
        self.cluster.put(REQUEST, request);
    }

    /// The kubelet continues once its request is approved.
    fn tick(&self, state: &mut FakeHostState) {
        let approved = self
            .cluster
            .get(REQUEST)
            .is_some_and(|request| request["status"]["conditions"][0]["type"] == "Approved");
        if approved && !state.probe.client_certificate {
            state.probe.client_certificate = true;
            self.register(state);
        }
    }

    fn register(&self, state: &FakeHostState) {
        let ready = if state.ready { "True" } else { "False" };
        let version = state.probe.kubelet_version.map(|version| format!("v{version}"));
        let node = json!({
            "metadata": { "name": "dc1-w1", "resourceVersion": "1" },
            "spec": {},
            "status": {
                "conditions": [{ "type": "Ready", "status": ready, "message": "no Cilium" }],
                "nodeInfo": { "kubeletVersion": version },
            },
        });
        self.cluster.put(NODE, node);
    }

    fn apply(&self, state: &mut FakeHostState, step: &WorkerStep) -> &'static str {
        let probe = &mut state.probe;
        match step {
            WorkerStep::Kernel => {
                probe.modules = ["overlay", "br_netfilter"].map(str::to_owned).into();
                probe.host.ip_forwarding = true;
                probe.host.swap.clear();
                probe.host.persistent = true;
                "kernel"
            }
            WorkerStep::KernelRoutes(routes) => {
                probe.host.kernel_routes = routes.clone().into();
                "routes"
            }
            WorkerStep::StagePackages(version, _) => {
                probe.staged_packages = Some(*version);
                "stage"
            }
            WorkerStep::ContainerRuntime(_) => {
                probe.container_runtime_version = Some("2.1.0".to_owned());
                "runtime"
            }
            WorkerStep::Kubelet(version, _) => {
                probe.kubelet_version = Some(*version);
                "kubelet"
            }
            WorkerStep::CniPlugins(_) => {
                probe.cni_plugins = true;
                probe.staged_packages = None;
                "plugins"
            }
            WorkerStep::ClusterCa { pem } => {
                probe.cluster_ca_digest = Some(text_digest(pem));
                "ca"
            }
            WorkerStep::BootstrapKubeconfig { token, .. } => {
                probe.bootstrap_kubeconfig = true;
                state.token_id = token.expose().split('.').next().map(str::to_owned);
                "bootstrap-kubeconfig"
            }
            WorkerStep::KubeletConfiguration(configuration) => {
                probe.kubelet_configuration_digest = Some(configuration.digest.clone());
                "configuration"
            }
            WorkerStep::CniConfiguration { subnet } => {
                probe.host.cni_configuration = Some(*subnet);
                probe.host.cni_chosen = Some(CNI_CONFIGURATION_NAME.to_owned());
                "cni"
            }
            WorkerStep::Start => {
                probe.host.container_runtime_active = true;
                probe.host.kubelet_active = true;
                if !state.probe.client_certificate {
                    self.ask(state);
                } else if let Some(mut node) = self.cluster.get(NODE) {
                    let version = state.probe.kubelet_version.map(|it| format!("v{it}"));
                    node["status"]["nodeInfo"]["kubeletVersion"] = json!(version);
                    self.cluster.put(NODE, node);
                } else {
                    self.register(state);
                }
                "start"
            }
            WorkerStep::RemoveBootstrapKubeconfig => {
                probe.bootstrap_kubeconfig = false;
                "remove-bootstrap-kubeconfig"
            }
            WorkerStep::Stamp { digest } => {
                probe.host.stamp = Some(digest.clone());
                "stamp"
            }
            WorkerStep::Reset => "reset",
            WorkerStep::Reboot { from_boot } => {
                if *from_boot == probe.boot_id && state.comes_back {
                    probe.boot_id = "boot-2".to_owned();
                    if let Some(mut node) = self.cluster.get(NODE) {
                        node["status"]["nodeInfo"]["bootID"] = json!("boot-2");
                        self.cluster.put(NODE, node);
                    }
                }
                "reboot"
            }
        }
    }
}

fn failed(target: &HostTarget, activity: &str) -> HostError {
    HostError::failed(&target.hostname, activity, "as configured by the test")
}

#[async_trait]
impl HostRead for FakeHost {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        Err(failed(target, "probe"))
    }

    async fn probe_worker(&self, _target: &HostTarget) -> Result<WorkerProbe, HostError> {
        let mut state = self.state.lock().unwrap();
        self.tick(&mut state);
        Ok(state.probe.clone())
    }
}

#[async_trait]
impl HostWrite for FakeHost {
    async fn change_router(
        &self,
        target: &HostTarget,
        _change: &RouterChange,
    ) -> Result<(), HostError> {
        Err(failed(target, "change"))
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        let mut state = self.state.lock().unwrap();
        if state.unreachable {
            let (hostname, address) = (target.hostname.clone(), target.address.clone());
            return Err(HostError::Unreachable { hostname, address, reason: "timeout".to_owned() });
        }
        let before = state.probe.clone();
        let name = self.apply(&mut state, step);
        state.steps.push(name);
        if state.fail == Some(name) {
            state.probe = before;
            return Err(failed(target, name));
        }
        Ok(())
    }
}
