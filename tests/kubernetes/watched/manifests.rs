//! The objects of `stargate manifests`, applied with the strict validation of the API server.

use std::process::Command;

use serde_json::{Value, json};

use super::stage::DEFINITIONS;
use crate::api_server::{APPLY, Caller};

/// The objects that the command prints for the example.
pub(super) fn printed() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
    command.args(["manifests", "-f", "examples/aks-e2e/stargate.toml"]);
    command.args(["--image", "registry.example/stargate:1", "--tailscale-sidecar"]);
    command.args(["--client-id", "00000000-0000-0000-0000-000000000001"]);
    let output = command.args(["--monitoring", "prometheus-operator"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("---\n").filter(|it| !it.is_empty());
    documents.map(|it| serde_saphyr::from_str(it).unwrap()).collect()
}

/// Applies the objects as `kubectl apply --server-side --validate=strict` does.
pub(super) async fn apply(admin: &Caller, objects: &[Value]) {
    define_monitoring(admin).await;
    for object in objects {
        let path = format!("{}?fieldManager=kubectl&fieldValidation=Strict", path(object));
        let applied = admin.send("PATCH", &path, APPLY, object).await;
        assert!(matches!(applied.code, 200 | 201), "{object:#}: {applied:?}");
        let mut unknown = object.clone();
        unknown["nonsense"] = json!(1);
        let refused = admin.send("PATCH", &path, APPLY, &unknown).await;
        assert!(refused.code >= 400, "an unknown field is refused: {object:#}: {refused:?}");
    }
}

/// The path of an object.
pub(super) fn path(object: &Value) -> String {
    let api_version = object["apiVersion"].as_str().unwrap();
    let root = if api_version == "v1" { "/api" } else { "/apis" };
    let namespace = object["metadata"]["namespace"].as_str();
    let place = namespace.map(|it| format!("/namespaces/{it}")).unwrap_or_default();
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("{root}/{api_version}{place}/{plural}/{name}")
}

const GROUP: &str = "monitoring.coreos.com";
const DURATION: &str = "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?\
                        (([0-9]+)s)?(([0-9]+)ms)?)$";

/// The kinds of the Prometheus Operator, with the fields that a watch needs.
async fn define_monitoring(admin: &Caller) {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let duration = || json!({ "type": "string", "pattern": DURATION });
    let endpoint = object(&json!({ "port": text(), "path": text(), "interval": duration() }));
    let pod_monitor = object(&json!({
        "selector": object(&json!({ "matchLabels": texts() })),
        "podMetricsEndpoints": { "type": "array", "items": endpoint },
    }));
    let mut rule = object(&json!({
        "alert": text(), "for": duration(), "labels": texts(), "annotations": texts(),
        "expr": { "x-kubernetes-int-or-string": true },
    }));
    rule["required"] = json!(["expr"]);
    let mut group = object(&json!({
        "name": { "type": "string", "minLength": 1 }, "rules": { "type": "array", "items": rule },
    }));
    group["required"] = json!(["name"]);
    let groups = json!({ "type": "array", "items": group, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"] });
    let rules = object(&json!({ "groups": groups }));
    for (kind, spec) in [("PodMonitor", pod_monitor), ("PrometheusRule", rules)] {
        let plural = format!("{}s", kind.to_lowercase());
        let schema = json!({ "type": "object", "required": ["spec"],
            "properties": { "spec": spec } });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{GROUP}") },
            "spec": {
                "group": GROUP, "scope": "Namespaced",
                "names": { "kind": kind, "plural": plural },
                "versions": [{ "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": schema } }],
            },
        });
        let created = admin.post(DEFINITIONS, &definition).await;
        assert_eq!(created.code, 201, "{created:?}");
        let collection = format!("/apis/{GROUP}/v1/{plural}");
        assert_eq!(admin.until(&collection, |it| it.code == 200).await.code, 200);
    }
}

fn object(properties: &Value) -> Value {
    json!({ "type": "object", "properties": properties })
}
