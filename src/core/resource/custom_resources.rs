//! The API `stargate.io/v1alpha1`: the bodies of its four CRDs.
//!
//! The schemas are structural and complete, so that the API server prunes unknown fields
//! and refuses invalid ones.

mod topology;

use serde_json::{Value, json};

pub use topology::{APPROVE_ANNOTATION, topology};

/// The group of the API.
pub const GROUP: &str = "stargate.io";
/// The version of the API.
pub const VERSION: &str = "v1alpha1";
/// The namespace that holds stargate's own objects.
pub const NAMESPACE: &str = "stargate";

/// An IPv4 address.
const IPV4: &str =
    r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$";
/// An IPv4 prefix.
const IPV4_PREFIX: &str = r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])/(3[0-2]|[12]?[0-9])$";
/// A hardware address.
const MAC: &str = "^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$";
/// A DNS label or name, as Kubernetes has them.
const DNS_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A Kubernetes version, exact or minor.
const VERSION_PATTERN: &str = r"^v?1\.[0-9]+(\.[0-9]+)?$";
/// A taint as a kubelet takes it.
const TAINT: &str = "^[^=:]+(=[^=:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$";

/// The body of the CRD of Servers.
pub fn server() -> Value {
    definition(
        &Names { kind: "Server", plural: "servers", singular: "server", short: &["srv"] },
        "A machine of a datacenter that is or will be a worker of the cluster.",
        &server_spec(),
        &server_status(),
        &[
            column("Datacenter", "string", ".spec.datacenter", "The datacenter of the machine."),
            column("Address", "string", ".spec.ipAddress", "The address of the machine."),
            column("Pods", "string", ".spec.podCIDR", "The pod CIDR of the worker."),
            column("State", "string", ".status.state", "The phase."),
            column("Profile", "string", ".status.appliedProfile", "The profile that was applied."),
            column("Age", "date", ".metadata.creationTimestamp", "The age of the object."),
        ],
    )
}

/// The body of the CRD of ProvisioningProfiles.
pub fn provisioning_profile() -> Value {
    definition(
        &Names {
            kind: "ProvisioningProfile",
            plural: "provisioningprofiles",
            singular: "provisioningprofile",
            short: &["pp"],
        },
        "The desired state of a worker.",
        &profile_spec(),
        &object(
            "The observed state of the profile.",
            &json!({
                "ready": { "type": "boolean", "description": "Whether workers can be provisioned \
                                                              with it." },
                "message": text("A message."),
                "conditions": conditions(),
            }),
            &[],
        ),
        &[
            column("Kubernetes", "string", ".spec.kubernetesVersion", "The kubelet's version."),
            column("Runtime", "string", ".spec.containerRuntime", "The container runtime."),
            column("Age", "date", ".metadata.creationTimestamp", "The age of the object."),
        ],
    )
}

/// The body of the CRD of Operations.
pub fn operation() -> Value {
    definition(
        &Names { kind: "Operation", plural: "operations", singular: "operation", short: &["sgop"] },
        "A request for an operation on a Server, or the record of an operation.",
        &operation_spec(),
        &operation_status(),
        &[
            column("Server", "string", ".spec.serverRef.name", "The machine."),
            column("Operation", "string", ".spec.operation", "The operation."),
            column("Phase", "string", ".status.phase", "The phase."),
            column("Step", "string", ".status.currentStep", "The current step."),
            wide(column("Attempts", "integer", ".status.attempts", "The number of attempts.")),
            wide(column("Message", "string", ".status.message", "The step or the reason.")),
            column("Age", "date", ".metadata.creationTimestamp", "The time of the request."),
        ],
    )
}

fn server_spec() -> Value {
    object(
        "The desired state of the machine.",
        &json!({
            "hostname": pattern("Its host name, which is its Node's name.", DNS_NAME),
            "ipAddress": pattern("Its address in the datacenter.", IPV4),
            "macAddress": pattern("Its hardware address, if known.", MAC),
            "routerIP": pattern("The tailnet address of the datacenter's router, the jump host.", IPV4),
            "provider": one_of("The kind of the machine.", &["azure", "existing", "qemu"]),
            "podCIDR": pattern("The pod CIDR of the worker; it can be set once.", IPV4_PREFIX),
            "datacenter": short_text("Its datacenter."),
            "profileRef": reference("The ProvisioningProfile of the worker."),
        }),
        &["hostname", "ipAddress", "provider", "podCIDR", "datacenter", "profileRef"],
    )
}

fn server_status() -> Value {
    object(
        "The observed state of the machine.",
        &json!({
            "state": one_of(
                "The phase.",
                &["pending", "provisioning", "ready", "error", "leaving"],
            ),
            "message": text("A message without secrets."),
            "currentOS": text("Its operating system and the kubelet on it."),
            "appliedProfile": text("The profile that was applied last."),
            "lastUpdated": time("The time of the last update."),
            "conditions": conditions(),
        }),
        &[],
    )
}

fn profile_spec() -> Value {
    object(
        "The desired state of a worker.",
        &json!({
            "kubernetesVersion": pattern(
                "The version of the kubelet; without a patch, any patch matches.",
                VERSION_PATTERN,
            ),
            "containerRuntime": one_of("The container runtime.", &["containerd"]),
            "managedCilium": {
                "type": "boolean",
                "description": "Whether the Cilium of AKS runs on the worker.",
            },
            "labels": {
                "type": "object",
                "description": "Labels of the Node beyond those that stargate sets.",
                "additionalProperties": { "type": "string", "maxLength": 63 },
            },
            "taints": {
                "type": "array",
                "description": "Taints of the Node, as in `key=value:NoSchedule`.",
                "items": { "type": "string", "pattern": TAINT },
                "x-kubernetes-list-type": "set",
            },
            "maxPods": {
                "type": "integer",
                "format": "int32",
                "minimum": 1,
                "maximum": 1000,
                "description": "The maximum number of pods on a worker; by default, derived from \
                                the pod CIDR.",
            },
            "sshCredentialsSecretRef": reference(
                "A Secret with the keys `username` and `privateKey`, for a controller in the \
                 cluster.",
            ),
        }),
        &["kubernetesVersion", "containerRuntime", "managedCilium"],
    )
}

fn operation_spec() -> Value {
    let mut spec = object(
        "The operation; it cannot be changed afterwards.",
        &json!({
            "serverRef": reference("The Server of the operation."),
            "provisioningProfileRef": reference("The ProvisioningProfile to apply."),
            "operation": one_of("The kind of the operation.", &["repave", "reboot", "join"]),
        }),
        &["serverRef", "provisioningProfileRef", "operation"],
    );
    spec["x-kubernetes-validations"] =
        json!([{ "rule": "self == oldSelf", "message": "an Operation cannot be changed" }]);
    spec
}

fn operation_status() -> Value {
    object(
        "The observed state.",
        &json!({
            "phase": one_of(
                "The phase.",
                &["Pending", "Running", "Succeeded", "Failed", "Refused"],
            ),
            "startTime": time("The start time of the first attempt."),
            "completionTime": time("The completion time."),
            "message": text("The current step or the reason of the phase, without secrets."),
            "currentStep": text("The step that the operation is at while it runs."),
            "attempts": {
                "type": "integer", "format": "int32", "minimum": 0,
                "description": "How often the operation was started; more than once if it was \
                                interrupted.",
            },
            "observedGeneration": {
                "type": "integer", "format": "int64",
                "description": "The observed generation of the spec.",
            },
            "nodeUID": text("The uid of the Node before the operation. An attempt that was \
                             interrupted is continued by it."),
            "bootID": text("The boot of the machine before its restart."),
            "conditions": conditions(),
        }),
        &[],
    )
}

/// The names of a CRD.
struct Names {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
}

fn definition(
    names: &Names,
    description: &str,
    spec: &Value,
    status: &Value,
    columns: &[Value],
) -> Value {
    json!({
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": format!("{}List", names.kind),
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": names.short,
                "categories": ["stargate"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "description": description,
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": { "type": "string" },
                        "kind": { "type": "string" },
                        "metadata": { "type": "object" },
                        "spec": spec,
                        "status": status,
                    },
                }},
            }],
        },
    })
}

fn object(description: &str, properties: &Value, required: &[&str]) -> Value {
    let mut object = json!({
        "type": "object", "description": description, "properties": properties,
    });
    // An empty `required` is refused by some API servers.
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn column(name: &str, kind: &str, path: &str, description: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path, "description": description })
}

/// A column that only `kubectl get -o wide` prints.
fn wide(mut column: Value) -> Value {
    column["priority"] = json!(1);
    column
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description, "maxLength": 32768 })
}

fn short_text(description: &str) -> Value {
    json!({ "type": "string", "description": description, "minLength": 1, "maxLength": 253 })
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn pattern(description: &str, pattern: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": pattern, "maxLength": 253 })
}

fn one_of(description: &str, values: &[&str]) -> Value {
    json!({ "type": "string", "description": description, "enum": values })
}

fn reference(description: &str) -> Value {
    object(description, &json!({ "name": short_text("Its name.") }), &["name"])
}

fn conditions() -> Value {
    json!({
        "type": "array",
        "description": "Conditions by type.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": object(
            "A condition.",
            &json!({
                "type": short_text("The type."),
                "status": one_of("The status.", &["True", "False", "Unknown"]),
                "reason": short_text("The reason, in CamelCase."),
                "message": text("The reason, as a sentence."),
                "lastTransitionTime": time("The time of the last transition."),
                "observedGeneration": {
                    "type": "integer", "format": "int64",
                    "description": "The observed generation of the spec.",
                },
            }),
            &["type", "status", "reason", "lastTransitionTime"],
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a schema and calls back on every object with a `type`.
    fn each_schema(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
        visit(path, schema);
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                each_schema(property, &format!("{path}.{name}"), visit);
            }
        }
        if !schema["items"].is_null() {
            each_schema(&schema["items"], &format!("{path}[]"), visit);
        }
    }

    #[test]
    fn schemas_are_structural() {
        for body in [server(), provisioning_profile(), operation(), topology()] {
            let schema = &body["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            each_schema(schema, "", &mut |path, schema| {
                assert!(schema["type"].is_string(), "{path} has no type");
                for name in schema["required"].as_array().into_iter().flatten() {
                    let name = name.as_str().unwrap();
                    assert!(schema["properties"][name].is_object(), "{path}.{name} is unknown");
                }
                let own = path.starts_with(".spec") || path.starts_with(".status");
                assert!(
                    !own || path.ends_with("[]") || schema["description"].is_string(),
                    "{path} has no description"
                );
            });
        }
    }

    #[test]
    fn the_router_address_is_optional_and_checked() {
        let body = server();
        let spec = &body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert_eq!(spec["properties"]["routerIP"]["pattern"], IPV4);
        assert!(!spec["required"].as_array().unwrap().contains(&json!("routerIP")));
    }
}
