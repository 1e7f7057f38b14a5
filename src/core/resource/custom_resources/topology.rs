//! The CRD of Topologies: the status that `stargate watch` writes.

use serde_json::{Value, json};

use super::{
    Names, column, conditions, definition, object, one_of, pattern, short_text, text, time,
};

/// The annotation of a Topology that approves the changes with this digest.
pub const APPROVE_ANNOTATION: &str = "stargate.io/approve";

/// The pattern of a digest of changes.
const DIGEST: &str = "^[0-9a-f]{32}$";

/// The body of the CRD of Topologies.
pub fn topology() -> Value {
    definition(
        &Names { kind: "Topology", plural: "topologies", singular: "topology", short: &["topo"] },
        "A topology, as `stargate watch` reconciles it. The topology file is the source of the \
         desired state; this object shows the result.",
        &object(
            "The topology.",
            &json!({ "topology": short_text("The name in the topology file.") }),
            &["topology"],
        ),
        &status(),
        &[
            column("Ready", "string", &condition("Ready", "status"), "Whether it is reached."),
            column("Reason", "string", &condition("Ready", "reason"), "Why it is not."),
            column("Drift", "integer", ".status.drift.total", "Resources that differ."),
            column("Broken", "integer", ".status.pairs.broken", "Unreachable pairs of nodes."),
            column(
                "Pending",
                "integer",
                ".status.pendingApproval.total",
                "Changes that await approval.",
            ),
            column(
                "Last Success",
                "date",
                ".status.lastSuccessTime",
                "The last success as of the last update.",
            ),
            column("Age", "date", ".metadata.creationTimestamp", "The age of the object."),
        ],
    )
}

fn condition(kind: &str, field: &str) -> String {
    format!(".status.conditions[?(@.type==\"{kind}\")].{field}")
}

fn status() -> Value {
    object(
        "The result of the last reconcile. It is written when a value other than a time changes; \
         the Lease of the watcher shows that it is alive.",
        &json!({
            "observedGeneration": {
                "type": "integer", "format": "int64",
                "description": "The observed generation of the spec.",
            },
            "conditions": conditions(),
            "version": short_text("The version of stargate."),
            "topologyDigest": short_text("The SHA-256 of the topology file in force."),
            "apply": one_of(
                "The changes that are made without approval.",
                &["none", "routes", "all"],
            ),
            "intervalSeconds": count("The time between two reconciles, in seconds."),
            "drift": drift(),
            "pairs": object(
                "Pairs of nodes by whether their pods reach each other.",
                &json!({
                    "reached": count("Pairs that reach each other."),
                    "broken": count("Pairs that do not."),
                    "unknown": count("Pairs of unknown reachability."),
                }),
                &[],
            ),
            "workers": object(
                "Workers by health.",
                &json!({
                    "ready": count("Workers whose Node is Ready."),
                    "notReady": count("Workers whose Node is not Ready."),
                    "missing": count("Workers without a Node."),
                    "unknown": count("Workers whose Node could not be read."),
                }),
                &[],
            ),
            "pendingApproval": pending_approval(),
            "blocked": object(
                "Blocked changes.",
                &json!({
                    "total": count("The number of blocked changes."),
                    "changes": changes("The first of them.", "message", "Why it is blocked."),
                }),
                &["total"],
            ),
            "approval": object(
                "The result of the last approval.",
                &json!({
                    "digest": pattern("The digest that was approved.", "^[ -~]*$"),
                    "state": one_of(
                        "The result.",
                        &["InProgress", "Done", "Refused", "Abandoned"],
                    ),
                    "message": text("The same as a sentence."),
                }),
                &["digest", "state"],
            ),
            "lastSuccessTime": time(
                "The time of the last reconcile after which only changes that await approval were \
                 left, when the status was written. Later ones are recorded in the Lease of the \
                 watcher.",
            ),
            "lastUpdateTime": time("The time of the last write of the status."),
        }),
        &[],
    )
}

fn drift() -> Value {
    let counts = |description: &str, key: &str, of: &str| {
        json!({
            "type": "array",
            "description": description,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [key],
            "items": object(
                "A count.",
                &json!({ key: short_text(of), "count": count("How many resources.") }),
                &[key, "count"],
            ),
        })
    };
    object(
        "Resources that differ from the topology.",
        &json!({
            "total": count("How many."),
            "kinds": counts("By kind.", "kind", "The kind of resource."),
            "actions": counts("By action.", "action", "The action."),
        }),
        &["total"],
    )
}

fn pending_approval() -> Value {
    object(
        "Changes that await approval.",
        &json!({
            "total": count("The number of changes that await approval."),
            "digest": pattern("The digest of all of them, which approves them.", DIGEST),
            "losesPairs": {
                "type": "boolean",
                "description": "Whether pairs of nodes become unreachable once they are made.",
            },
            "lostPairs": count("How many pairs of nodes become unreachable once they are made."),
            "command": text("The command that approves them."),
            "changes": changes("The first of them.", "reason", "Why it awaits approval."),
        }),
        &["total"],
    )
}

fn changes(description: &str, field: &str, of_field: &str) -> Value {
    json!({
        "type": "array",
        "description": description,
        "x-kubernetes-list-type": "atomic",
        "items": object(
            "A change.",
            &json!({
                "address": text("The resource."),
                "action": text("What would be done."),
                field: text(of_field),
            }),
            &[],
        ),
    })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "description": description })
}
