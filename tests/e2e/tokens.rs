//! Bootstrap tokens are deleted after a join, even if it failed at any step, and are never readable
//! anywhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions};

const WORKER: &str = "stargate-aks-e2e-2-worker-1";
/// Every step of a join on its host.
const STEPS: [&str; 13] = [
    "probe-worker",
    "kernel",
    "container-runtime",
    "kubelet",
    "cni-plugins",
    "cluster-ca",
    "cni-configuration",
    "kubelet-configuration",
    "bootstrap-kubeconfig",
    "start",
    "remove-bootstrap-kubeconfig",
    "stamp",
    "nothing",
];

/// Records every token, and makes one step of a host fail.
#[derive(Debug)]
struct TokenRecorder {
    sandbox: OnceLock<SharedSandbox>,
    failing: &'static str,
    tokens: Mutex<BTreeSet<String>>,
}

impl TokenRecorder {
    fn onto(deployment: &Deployment, failing: &'static str) -> Arc<Self> {
        let marker = Arc::new(Self {
            sandbox: OnceLock::from(deployment.sandbox.clone()),
            failing,
            tokens: Mutex::default(),
        });
        deployment.sandbox.set_fault_injector(Some(marker.clone()));
        marker
    }
}

impl FaultInjector for TokenRecorder {
    fn before(&self, effect: &Call) -> Disposition {
        let Call::Host { hostname, activity, .. } = effect else { return Disposition::Pass };
        match hostname == WORKER && *activity == self.failing {
            true => Disposition::Refuse { status: 1, retry_after: None },
            false => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        if let Some(sandbox) = self.sandbox.get() {
            self.tokens.lock().unwrap().extend(sandbox.read(live_tokens));
        }
        Delivery::Deliver
    }
}

/// The secrets of all tokens that the cluster accepts.
fn live_tokens(sandbox: &SandboxState) -> Vec<String> {
    let Some(store) = &sandbox.kubernetes else { return Vec::new() };
    let secrets = store.list("v1", "Secret", Some("kube-system")).into_iter();
    let tokens = secrets.filter(|it| it["type"] == "bootstrap.kubernetes.io/token");
    let secret = |it: &serde_json::Value| {
        let text = it["data"]["token-secret"].as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        String::from_utf8(bytes).ok()
    };
    tokens.filter_map(secret).collect()
}

/// The files, logs and objects of the sandbox that contain a secret.
fn occurrences(sandbox: &SandboxState, secret: &str) -> Vec<String> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    let whole = serde_json::to_value(sandbox).unwrap();
    let mut found = Vec::new();
    for (part, value) in whole.as_object().unwrap() {
        let text = value.to_string();
        if text.contains(secret) || text.contains(&encoded) {
            found.push(part.clone());
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn no_token_is_left_after_a_join_that_fails_at_any_step() {
    for failing in STEPS {
        let deployment = Deployment::of(EXAMPLE, SandboxState::new(11));
        let marker = TokenRecorder::onto(&deployment, failing);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        let ended_well = applied.status == ApplyStatus::Converged;
        assert_eq!(ended_well, failing == "nothing", "{failing}: {:?}", applied.status);
        let tokens = marker.tokens.lock().unwrap().clone();
        let before_any = [
            "probe-worker",
            "kernel",
            "container-runtime",
            "kubelet",
            "cni-plugins",
            "cluster-ca",
            "cni-configuration",
            "kubelet-configuration",
        ];
        assert_eq!(tokens.is_empty(), before_any.contains(&failing), "{failing}: {tokens:?}");
        let sandbox = deployment.copy_of_state();
        assert_eq!(live_tokens(&sandbox), Vec::<String>::new(), "{failing}");
        // If the file cannot be deleted it remains, with a token that is no longer valid.
        let stays = failing == "remove-bootstrap-kubeconfig";
        for token in &tokens {
            let found = occurrences(&sandbox, token);
            let expected = if stays { vec!["hosts".to_owned()] } else { Vec::new() };
            assert_eq!(found, expected, "{failing}");
        }
        deployment.sandbox.set_fault_injector(None);
        deployment.iterate().await;
        let sandbox = deployment.copy_of_state();
        assert!(tokens.iter().all(|token| occurrences(&sandbox, token).is_empty()), "{failing}");
    }
}
