//! Objects that are applied as a whole: ownership labels, defaults, other managers, deletion.

use serde_json::{Value, json};
use stargate::desired::manifests::{self, ServerFacts};
use stargate::provider::cluster::ClusterError;
use stargate::resource::kubernetes::{Manifest, ManifestKind};
use stargate::resource::{Ownership, Pending, Site};
use stargate::topology::load::load_text;
use stargate::topology::model::Topology;

use crate::api_server::{ApiServer, TOPOLOGY};
use crate::check_log::CheckLog;
use crate::definitions::SERVERS;

const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/goldpinger/daemonsets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn topology() -> Topology {
    let text = include_str!("../e2e/two_datacenters.toml");
    load_text("stargate.toml", text).unwrap().topology
}

/// A Server of the topology, with the one value that an apply determines.
pub(crate) fn a_server(name: &str) -> Manifest {
    let topology = topology();
    let datacenter = topology.datacenters.iter().find(|it| it.name.as_str() == "attic").unwrap();
    let worker = datacenter.workers.iter().find(|it| it.name.as_str() == name).unwrap();
    manifests::server(
        datacenter,
        &ServerFacts {
            name: &worker.name,
            ip: worker.ip.unwrap(),
            pod_cidr: "10.244.129.0/24".parse().unwrap(),
            mac: worker.mac.as_deref(),
            profile: &worker.profile,
            router_ip: &Pending::Known("10.60.0.4".parse().unwrap()),
        },
    )
}

/// All objects that stargate applies as a whole, except definitions.
fn all_manifests() -> Vec<Manifest> {
    let mut all = manifests::namespaces();
    all.extend(manifests::bootstrap_rbac());
    let topology = topology();
    all.extend(
        topology.profiles.iter().map(|(name, it)| manifests::provisioning_profile(name, it)),
    );
    all.extend(manifests::goldpinger());
    let route = ("10.60.0.0/16".parse().unwrap(), "10.237.0.4".parse().unwrap());
    all.extend(manifests::route_manager(&[route]));
    all.push(a_server("attic-a"));
    all.push(a_server("attic-b"));
    all
}

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    applied_and_read_back(server, check_log).await;
    check_omitted_field(server, check_log).await;
    check_other_manager(server, check_log).await;
    check_manual_change(server, check_log).await;
    check_immutable_fields(server, check_log).await;
    foreign_objects(server, check_log).await;
    pages(server, check_log).await;
}

/// An applied object must read back as written, or every plan would show a difference. Applying it
/// again must change nothing.
async fn applied_and_read_back(server: &ApiServer, check_log: &mut CheckLog) {
    let definitions = manifests::custom_resource_definitions();
    for manifest in definitions.into_iter().chain(all_manifests()) {
        let name = manifest.object_name().to_string();
        let site = Site::Cluster;
        let first = server.stargate_client.apply(&manifest, &site, true).await;
        let Some(first) = check_log.succeeds(&format!("{name} is applied"), first) else {
            continue;
        };
        let ours = matches!(&first.ownership, Ownership::Ours { site } if site.0 == "cluster");
        check_log.is_true(&format!("{name} is owned"), ours, &first.ownership);
        let namespace = manifest.namespace.as_deref();
        let read = server.stargate_client.get(manifest.kind, namespace, &manifest.name).await;
        let Some(Some(read)) = check_log.succeeds(&format!("{name} is read"), read) else {
            continue;
        };
        let found = read.with_desired_fields(&manifest);
        check_log.equals(
            &format!("{name} reads back as written"),
            found.body,
            manifest.body.clone(),
        );
        let again = server.stargate_client.apply(&manifest, &site, false).await;
        let spec =
            |object: &Value| (object["spec"].clone(), object["metadata"]["generation"].clone());
        let equals = again.map(|it| spec(&it.object));
        check_log.equals(&format!("{name} stays as it is"), equals, Ok(spec(&read.object)));
    }
    for (kind, least) in [(ManifestKind::Server, 2), (ManifestKind::CustomResourceDefinition, 4)] {
        let ours = server.stargate_client.list_ours(kind).await.map(|it| it.len());
        check_log.equals(&format!("{kind:?}: all owned objects are listed"), ours, Ok(least));
    }
}

async fn check_omitted_field(server: &ApiServer, check_log: &mut CheckLog) {
    let mut without = a_server("attic-a");
    if let Some(spec) = without.body["spec"].as_object_mut() {
        spec.remove("macAddress");
    }
    let applied = server.stargate_client.apply(&without, &Site::Cluster, false).await;
    let Some(applied) = check_log.succeeds("a Server is applied without a field", applied) else {
        return;
    };
    check_log.equals(
        "the field is removed",
        applied.object["spec"]["macAddress"].clone(),
        Value::Null,
    );
    check_log.equals("and counts", applied.object["metadata"]["generation"].clone(), json!(2));
    let back = server.stargate_client.apply(&a_server("attic-a"), &Site::Cluster, false).await;
    check_log.succeeds("and is added again", back);
}

/// The conflict names the manager of the field. A forced apply makes stargate the manager again.
async fn check_other_manager(server: &ApiServer, check_log: &mut CheckLog) {
    let theirs = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": { "name": "attic-b", "namespace": "stargate" },
        "spec": { "datacenter": "elsewhere" },
    });
    let path = format!("{SERVERS}/attic-b");
    let refused = server.admin.apply_as("kubectl", &path, &theirs).await;
    let summary = "409 Conflict .spec.datacenter=FieldManagerConflict";
    check_log.equals("stargate manages its fields", refused.summary(), summary.into());
    let sentence = "Apply failed with 1 conflict: conflict with \"stargate\": .spec.datacenter";
    check_log.equals("the message names the manager", refused.message(), sentence);
    let forced = format!("{path}?fieldManager=kubectl&force=true");
    let taken = server.admin.send("PATCH", &forced, crate::api_server::APPLY, &theirs).await;
    check_log.equals("another manager forces the ownership of a field", taken.code, 200);
    let conflict = server.stargate_client.apply(&a_server("attic-b"), &Site::Cluster, false).await;
    let error = conflict.err();
    let manager = error.as_ref().and_then(|error| error.conflicting_manager());
    check_log.equals("stargate learns the manager", manager, Some("kubectl"));
    let detail = error.as_ref().map(ToString::to_string).unwrap_or_default();
    let sentence = "cannot apply Server stargate/attic-b: Apply failed with 1 conflict: conflict \
                    with \"kubectl\": .spec.datacenter";
    check_log.equals("and in the error message", detail.as_str(), sentence);
    let back = server.stargate_client.apply(&a_server("attic-b"), &Site::Cluster, true).await;
    let value = back.map(|it| it.object["spec"]["datacenter"].clone());
    check_log.equals("and forces its ownership back", value, Ok(json!("attic")));
}

/// A merge patch by another client also makes it a manager, and is detected as drift.
async fn check_manual_change(server: &ApiServer, check_log: &mut CheckLog) {
    let path = format!("{DAEMON_SETS}/goldpinger?fieldManager=other-client");
    let change = json!({ "spec": { "template": { "spec": { "serviceAccountName": "default" } } } });
    let changed = server.admin.send("PATCH", &path, crate::api_server::MERGE, &change).await;
    check_log.equals("a DaemonSet is changed by hand", changed.code, 200);
    let expected =
        manifests::goldpinger().into_iter().find(|it| it.kind == ManifestKind::DaemonSet);
    let expected = expected.unwrap();
    let read = server
        .stargate_client
        .get(expected.kind, expected.namespace.as_deref(), &expected.name)
        .await;
    let Ok(Some(read)) = read else { return };
    let found = read.with_desired_fields(&expected).body;
    let account = found["spec"]["template"]["spec"]["serviceAccountName"].clone();
    check_log.equals("the change is detected", account, json!("default"));
    let conflict = server.stargate_client.apply(&expected, &Site::Cluster, false).await;
    let manager = conflict.err().and_then(|it| it.conflicting_manager().map(str::to_owned));
    check_log.equals("its manager is reported", manager, Some("other-client".to_owned()));
    let repaired = server.stargate_client.apply(&expected, &Site::Cluster, true).await;
    let found = repaired.map(|it| it.with_desired_fields(&expected).body);
    check_log.equals("and it is reverted", found, Ok(expected.body));
}

async fn check_immutable_fields(server: &ApiServer, check_log: &mut CheckLog) {
    let path = format!("{BINDINGS}/{}", manifests::BOOTSTRAP_BINDING);
    let other = json!({ "roleRef": { "name": "cluster-admin" } });
    let response = server.admin.merge(&path, &other).await;
    let summary = "422 Invalid roleRef=FieldValueInvalid";
    check_log.equals("the role of a binding is immutable", response.summary(), summary.into());
    let path = format!("{DAEMON_SETS}/goldpinger");
    let other = json!({ "spec": {
        "selector": { "matchLabels": { "app": "other" } },
        "template": { "metadata": { "labels": { "app": "other" } } },
    }});
    let response = server.admin.merge(&path, &other).await;
    let summary = "422 Invalid spec.selector=FieldValueInvalid";
    check_log.equals(
        "the selector of a DaemonSet is immutable",
        response.summary(),
        summary.into(),
    );
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "spec": { "datacenter": "x" } });
    let response = server.admin.merge(&format!("{SERVERS}/attic-a"), &stale).await;
    check_log.equals("an old version is a conflict", response.summary(), "409 Conflict".into());
    let sentence = "Operation cannot be fulfilled on servers.stargate.io \"attic-a\": the object \
                    has been modified; please apply your changes to the latest version and try again";
    check_log.equals("with this message", response.message(), sentence);
    let mut wrong = a_server("attic-a");
    wrong.body["spec"]["provider"] = json!("vmware");
    let error = server.stargate_client.apply(&wrong, &Site::Cluster, true).await.err();
    let detail = error.map(|it| it.to_string()).unwrap_or_default();
    let is_true = detail.starts_with("cannot apply Server stargate/attic-a: ")
        && detail.contains("spec.provider: Unsupported value: \"vmware\"");
    check_log.is_true("stargate reports an invalid object", is_true, &detail);
    let mut wrong = a_server("attic-a");
    wrong.body["spec"]["nonsense"] = json!(1);
    let error = server.stargate_client.apply(&wrong, &Site::Cluster, true).await.err();
    let detail = error.as_ref().map(ToString::to_string).unwrap_or_default();
    let sentence = ".spec.nonsense: field not declared in schema";
    check_log.is_true("an unknown field is reported, too", detail.ends_with(sentence), &detail);
    let again = error.is_some_and(|error| error.is_unavailable());
    check_log.equals("and does not retry", again, false);
}

async fn foreign_objects(server: &ApiServer, check_log: &mut CheckLog) {
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "theirs" } });
    let made = server.admin.post("/api/v1/namespaces", &namespace).await;
    check_log.equals("another client creates a namespace", made.code, 201);
    let read = server.stargate_client.get(ManifestKind::Namespace, None, "theirs").await;
    let ownership = read.ok().flatten().map(|it| it.ownership);
    check_log.equals("it is foreign", ownership, Some(Ownership::Foreign));
    let ours = server.stargate_client.list_ours(ManifestKind::Namespace).await;
    let names = ours.map(|all| all.into_iter().map(|it| it.manifest.name).collect::<Vec<_>>());
    let expected = Ok(vec!["goldpinger".to_owned(), "stargate".to_owned()]);
    check_log.equals("and not among ours", names, expected);
    let lone = Manifest {
        kind: ManifestKind::ServiceAccount,
        namespace: Some("nowhere".into()),
        name: "lone".to_owned(),
        body: json!({}).into(),
    };
    let error = server.stargate_client.apply(&lone, &Site::Cluster, true).await.err();
    let is_missing = error.as_ref().is_some_and(ClusterError::is_not_found);
    check_log.is_true("an object needs its namespace", is_missing, &error);
}

async fn pages(server: &ApiServer, check_log: &mut CheckLog) {
    let selector = format!("stargate.io%2Ftopology={TOPOLOGY}");
    let first = server.admin.get(&format!("{SERVERS}?limit=1&labelSelector={selector}")).await;
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().into_iter().flatten();
        items.filter_map(|it| it["metadata"]["name"].as_str().map(str::to_owned)).collect()
    };
    check_log.equals(
        "a page has the requested size",
        names(&first.body),
        vec!["attic-a".to_owned()],
    );
    let token = first.body["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    check_log.is_true("and says that there is more", !token.is_empty(), &first.body["metadata"]);
    let rest = server
        .admin
        .get(&format!("{SERVERS}?limit=1&labelSelector={selector}&continue={token}"))
        .await;
    check_log.equals("the next page goes on", names(&rest.body), vec!["attic-b".to_owned()]);
    let token = rest.body["metadata"]["continue"].as_str().unwrap_or_default();
    check_log.equals("the last page has no continue token", token, "");
}

/// Deletes all objects, definitions last.
pub(crate) async fn remove(server: &ApiServer, check_log: &mut CheckLog) {
    let mut all = manifests::custom_resource_definitions();
    all.extend(all_manifests());
    for manifest in all.into_iter().rev() {
        let name = manifest.object_name().to_string();
        let namespace = manifest.namespace.as_deref();
        let deleted = server.stargate_client.delete(manifest.kind, namespace, &manifest.name).await;
        check_log.equals(&format!("{name} is deleted"), deleted, Ok(()));
        let read = server.stargate_client.get(manifest.kind, namespace, &manifest.name).await;
        check_log.equals(&format!("{name} no longer exists"), read, Ok(None));
        let again = server.stargate_client.delete(manifest.kind, namespace, &manifest.name).await;
        check_log.equals(&format!("{name} is deleted once"), again, Ok(()));
    }
    let left = server.admin.get(SERVERS).await;
    check_log.equals("the kinds are deleted with their definitions", left.summary(), "404".into());
    let foreign = server.admin.get("/api/v1/namespaces/theirs").await;
    check_log.equals("the foreign object is kept", foreign.code, 200);
}
