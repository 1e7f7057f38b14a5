//! The columns of a resource: those of the CRD, or those of the real server.

use serde_json::Value;

use super::super::definition::{
    APPS, CERTIFICATES, COORDINATION, CORE, Definition, EXTENSIONS, RBAC,
};
use super::super::value::{at, items, text};

const NONE: &str = "<none>";

/// How the value of a cell is computed.
#[derive(Debug, Clone)]
pub(super) enum ColumnValue {
    Name,
    Age,
    /// A JSONPath, as CRDs write it.
    Path(String),
    With(fn(&Value) -> Value),
}

pub(super) struct Column {
    pub(super) title: String,
    pub(super) kind: String,
    pub(super) cell: ColumnValue,
    /// Columns above zero are shown in wide tables only.
    pub(super) priority: u64,
}

fn column(title: &str, cell: ColumnValue) -> Column {
    Column { title: title.to_owned(), kind: "string".to_owned(), cell, priority: 0 }
}

fn with(title: &str, make: fn(&Value) -> Value) -> Column {
    column(title, ColumnValue::With(make))
}

fn path(title: &str, path: &str) -> Column {
    column(title, ColumnValue::Path(path.to_owned()))
}

fn number(title: &str, path: &str) -> Column {
    Column { kind: "integer".to_owned(), ..self::path(title, path) }
}

fn age() -> Column {
    column("Age", ColumnValue::Age)
}

fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

/// The columns of a resource, in order.
pub(super) fn columns(definition: &Definition) -> Vec<Column> {
    let mut columns = vec![column("Name", ColumnValue::Name)];
    let printed = definition
        .custom_version()
        .map_or(&[][..], |version| items(version, &["additionalPrinterColumns"]));
    if printed.is_empty() {
        columns.extend(built_in(&definition.group, &definition.plural));
    } else {
        columns.extend(printed.iter().map(printed_column));
    }
    columns
}

fn printed_column(described: &Value) -> Column {
    let word = |field: &str| text(described, &[field]).unwrap_or_default().to_owned();
    Column {
        title: word("name"),
        kind: word("type"),
        cell: ColumnValue::Path(word("jsonPath")),
        priority: described.get("priority").and_then(Value::as_u64).unwrap_or_default(),
    }
}

fn built_in(group: &str, plural: &str) -> Vec<Column> {
    match (group, plural) {
        (CORE, "nodes") => nodes(),
        (CORE, "pods") => pods(),
        (CORE, "services") => services(),
        (CORE, "namespaces") => vec![path("Status", ".status.phase"), age()],
        (CORE, "secrets") => vec![path("Type", ".type"), with("Data", data), age()],
        (CORE, "configmaps") => vec![with("Data", data), age()],
        (APPS, "daemonsets") => vec![
            number("Desired", ".status.desiredNumberScheduled"),
            number("Current", ".status.currentNumberScheduled"),
            number("Ready", ".status.numberReady"),
            number("Up-to-date", ".status.updatedNumberScheduled"),
            number("Available", ".status.numberAvailable"),
            age(),
        ],
        (APPS, "deployments") => vec![
            with("Ready", ready_replicas),
            number("Up-to-date", ".status.updatedReplicas"),
            number("Available", ".status.availableReplicas"),
            age(),
        ],
        (RBAC, "rolebindings" | "clusterrolebindings") => vec![with("Role", role), age()],
        (COORDINATION, _) => vec![path("Holder", ".spec.holderIdentity"), age()],
        (CERTIFICATES, _) => vec![
            age(),
            path("SignerName", ".spec.signerName"),
            path("Requestor", ".spec.username"),
            with("Condition", request_condition),
        ],
        (EXTENSIONS, _) => vec![path("Created At", ".metadata.creationTimestamp")],
        _ => vec![age()],
    }
}

fn nodes() -> Vec<Column> {
    let address = |title, make| wide(with(title, make));
    vec![
        with("Status", node_status),
        with("Roles", node_roles),
        age(),
        path("Version", ".status.nodeInfo.kubeletVersion"),
        address("Internal-IP", |node| node_address(node, "InternalIP")),
        address("External-IP", |node| node_address(node, "ExternalIP")),
        wide(path("OS-Image", ".status.nodeInfo.osImage")),
        wide(path("Kernel-Version", ".status.nodeInfo.kernelVersion")),
        wide(path("Container-Runtime", ".status.nodeInfo.containerRuntimeVersion")),
    ]
}

fn pods() -> Vec<Column> {
    vec![
        with("Ready", ready_containers),
        path("Status", ".status.phase"),
        with("Restarts", restarts),
        age(),
        wide(with("IP", |pod| or_none(text(pod, &["status", "podIP"])))),
        wide(with("Node", |pod| or_none(text(pod, &["spec", "nodeName"])))),
    ]
}

fn services() -> Vec<Column> {
    vec![
        path("Type", ".spec.type"),
        with("Cluster-IP", |service| or_none(text(service, &["spec", "clusterIP"]))),
        with("External-IP", |_| Value::from(NONE)),
        with("Port(s)", ports),
        age(),
    ]
}

fn or_none(word: Option<&str>) -> Value {
    Value::from(word.unwrap_or(NONE))
}

fn node_status(node: &Value) -> Value {
    let ready = items(node, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == Some("Ready"))
        .and_then(|condition| text(condition, &["status"]));
    let mut words = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        words.push_str(",SchedulingDisabled");
    }
    Value::from(words)
}

fn node_roles(node: &Value) -> Value {
    let labels = at(node, &["metadata", "labels"]).and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| match label.as_str() {
            "kubernetes.io/role" => value.as_str(),
            label => label.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    Value::from(if roles.is_empty() { NONE.to_owned() } else { roles.join(",") })
}

fn node_address(node: &Value, kind: &str) -> Value {
    let address = items(node, &["status", "addresses"])
        .iter()
        .find(|address| text(address, &["type"]) == Some(kind))
        .and_then(|address| text(address, &["address"]));
    or_none(address)
}

fn ready_containers(pod: &Value) -> Value {
    let all = items(pod, &["spec", "containers"]).len();
    let ready = items(pod, &["status", "containerStatuses"])
        .iter()
        .filter(|status| status.get("ready") == Some(&Value::Bool(true)))
        .count();
    Value::from(format!("{ready}/{all}"))
}

fn restarts(pod: &Value) -> Value {
    let counts = items(pod, &["status", "containerStatuses"])
        .iter()
        .filter_map(|status| status.get("restartCount").and_then(Value::as_u64));
    Value::from(counts.sum::<u64>().to_string())
}

fn ready_replicas(deployment: &Value) -> Value {
    let count = |path: &[&str]| at(deployment, path).and_then(Value::as_u64).unwrap_or_default();
    let (ready, all) = (count(&["status", "readyReplicas"]), count(&["spec", "replicas"]));
    Value::from(format!("{ready}/{all}"))
}

fn data(object: &Value) -> Value {
    let size =
        |field| at(object, &[field]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    Value::from((size("data") + size("binaryData")).to_string())
}

fn ports(service: &Value) -> Value {
    let ports: Vec<String> = items(service, &["spec", "ports"])
        .iter()
        .map(|port| {
            let number = port.get("port").and_then(Value::as_u64).unwrap_or_default();
            format!("{number}/{}", text(port, &["protocol"]).unwrap_or("TCP"))
        })
        .collect();
    Value::from(if ports.is_empty() { NONE.to_owned() } else { ports.join(",") })
}

fn role(binding: &Value) -> Value {
    let word = |field| text(binding, &["roleRef", field]).unwrap_or_default();
    Value::from(format!("{}/{}", word("kind"), word("name")))
}

fn request_condition(request: &Value) -> Value {
    let mut words: Vec<&str> = items(request, &["status", "conditions"])
        .iter()
        .filter_map(|condition| text(condition, &["type"]))
        .collect();
    if at(request, &["status", "certificate"]).is_some() {
        words.push("Issued");
    }
    Value::from(if words.is_empty() { "Pending".to_owned() } else { words.join(",") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn node_roles_come_from_both_kinds_of_labels() {
        let node = |labels: Value| node_roles(&json!({"metadata": {"labels": labels}}));
        assert_eq!(node(json!({"kubernetes.io/role": "agent"})), "agent");
        let both = json!({"node-role.kubernetes.io/edge": "", "kubernetes.io/role": "agent"});
        assert_eq!(node(both), "agent,edge");
        assert_eq!(node(json!({"kubernetes.io/os": "linux"})), "<none>");
    }

    #[test]
    fn a_wide_table_of_nodes_shows_their_addresses() {
        let wide: Vec<String> = nodes()
            .into_iter()
            .filter(|column| column.priority > 0)
            .map(|column| column.title)
            .collect();
        assert_eq!(wide[..2], ["Internal-IP", "External-IP"]);
        let node =
            json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.1.0.4"}]}});
        assert_eq!(node_address(&node, "InternalIP"), "10.1.0.4");
        assert_eq!(node_address(&node, "ExternalIP"), "<none>");
    }

    #[test]
    fn cells_contain_counts() {
        let pod = json!({"spec": {"containers": [{}, {}]}, "status": {"containerStatuses": [
            {"ready": true, "restartCount": 2}, {"ready": false, "restartCount": 1}]}});
        assert_eq!((ready_containers(&pod), restarts(&pod)), (json!("1/2"), json!("3")));
        assert_eq!(data(&json!({"data": {"a": "b"}, "binaryData": {"c": "d"}})), "2");
        assert_eq!(ports(&json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}]}})), "53/UDP");
        assert_eq!(ports(&json!({"spec": {}})), "<none>");
    }
}
