//! Bootstrap tokens: gone after a join, gone after a join that failed anywhere,
//! and nowhere to be read.

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

/// Notes every token that there ever is, and has one step of a host fail.
#[derive(Debug)]
struct Marker {
    world: OnceLock<SharedSandbox>,
    failing: &'static str,
    tokens: Mutex<BTreeSet<String>>,
}

impl Marker {
    fn onto(deployment: &Deployment, failing: &'static str) -> Arc<Self> {
        let marker = Arc::new(Self {
            world: OnceLock::from(deployment.world.clone()),
            failing,
            tokens: Mutex::default(),
        });
        deployment.world.set_fault_injector(Some(marker.clone()));
        marker
    }
}

impl FaultInjector for Marker {
    fn before(&self, effect: &Call) -> Disposition {
        let Call::Host { hostname, doing, .. } = effect else { return Disposition::Pass };
        match hostname == WORKER && *doing == self.failing {
            true => Disposition::Refuse { status: 1, retry_after: None },
            false => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        if let Some(world) = self.world.get() {
            self.tokens.lock().unwrap().extend(world.read(live_tokens));
        }
        Delivery::Deliver
    }
}

/// The secret halves of all tokens that the cluster takes.
fn live_tokens(world: &SandboxState) -> Vec<String> {
    let Some(store) = &world.kubernetes else { return Vec::new() };
    let secrets = store.list("v1", "Secret", Some("kube-system")).into_iter();
    let tokens = secrets.filter(|it| it["type"] == "bootstrap.kubernetes.io/token");
    let secret = |it: &serde_json::Value| {
        let text = it["data"]["token-secret"].as_str()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        String::from_utf8(bytes).ok()
    };
    tokens.filter_map(secret).collect()
}

/// Files, logs and objects of the whole world, as they would be read.
fn places_of(world: &SandboxState, secret: &str) -> Vec<String> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    let whole = serde_json::to_value(world).unwrap();
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
async fn no_token_outlives_a_join_wherever_it_fails() {
    for failing in STEPS {
        let deployment = Deployment::of(EXAMPLE, SandboxState::new(11));
        let marker = Marker::onto(&deployment, failing);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        let ended_well = applied.ending == ApplyStatus::Converged;
        assert_eq!(ended_well, failing == "nothing", "{failing}: {:?}", applied.ending);
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
        let world = deployment.copy_of_world();
        assert_eq!(live_tokens(&world), Vec::<String>::new(), "{failing}");
        // A file that cannot be removed stays, with a token that is worth nothing.
        let stays = failing == "remove-bootstrap-kubeconfig";
        for token in &tokens {
            let places = places_of(&world, token);
            let expected = if stays { vec!["hosts".to_owned()] } else { Vec::new() };
            assert_eq!(places, expected, "{failing}");
        }
        deployment.world.set_fault_injector(None);
        deployment.iterate().await;
        let world = deployment.copy_of_world();
        assert!(tokens.iter().all(|token| places_of(&world, token).is_empty()), "{failing}");
    }
}
