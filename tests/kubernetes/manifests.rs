//! Objects that are applied whole: marks, defaults, other managers, deletion.

use serde_json::{Value, json};
use stargate::desired::manifests::{self, ServerFacts};
use stargate::provider::cluster::ClusterError;
use stargate::resource::kubernetes::{Manifest, ManifestKind};
use stargate::resource::{Ownership, Pending, Side};
use stargate::topology::load::load_text;
use stargate::topology::model::Topology;

use crate::api_server::{ApiServer, TOPOLOGY};
use crate::definitions::SERVERS;
use crate::verdicts::Verdicts;

const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/goldpinger/daemonsets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn topology() -> Topology {
    let text = include_str!("../e2e/two_datacenters.toml");
    load_text("stargate.toml", text).unwrap().topology
}

/// A Server of the topology's, with the one value that an apply finds out.
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

/// All that stargate applies whole, but the definitions.
fn everything() -> Vec<Manifest> {
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

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    applied_and_read_back(server, verdicts).await;
    a_field_that_is_left_out(server, verdicts).await;
    another_manager(server, verdicts).await;
    a_change_by_hand(server, verdicts).await;
    what_cannot_be_changed(server, verdicts).await;
    foreign_objects(server, verdicts).await;
    pages(server, verdicts).await;
}

/// What was applied must read back as it was written, or every plan would show
/// a difference; applied again it must change nothing.
async fn applied_and_read_back(server: &ApiServer, verdicts: &mut Verdicts) {
    let definitions = manifests::custom_resource_definitions();
    for manifest in definitions.into_iter().chain(everything()) {
        let name = manifest.object_name().to_string();
        let side = Side::Cluster;
        let first = server.door.apply(&manifest, &side, true).await;
        let Some(first) = verdicts.well(&format!("{name} is applied"), first) else { continue };
        let ours = matches!(&first.ownership, Ownership::Ours { side } if side.0 == "cluster");
        verdicts.holds(&format!("{name} is ours"), ours, &first.ownership);
        let namespace = manifest.namespace.as_deref();
        let read = server.door.get(manifest.kind, namespace, &manifest.name).await;
        let Some(Some(read)) = verdicts.well(&format!("{name} is read"), read) else { continue };
        let seen = read.seen_against(&manifest);
        verdicts.same(&format!("{name} reads back as written"), seen.body, manifest.body.clone());
        let again = server.door.apply(&manifest, &side, false).await;
        let spec =
            |object: &Value| (object["spec"].clone(), object["metadata"]["generation"].clone());
        let same = again.map(|it| spec(&it.object));
        verdicts.same(&format!("{name} stays as it is"), same, Ok(spec(&read.object)));
    }
    for (kind, least) in [(ManifestKind::Server, 2), (ManifestKind::CustomResourceDefinition, 3)] {
        let ours = server.door.list_ours(kind).await.map(|it| it.len());
        verdicts.same(&format!("{kind:?}: all of ours are listed"), ours, Ok(least));
    }
}

async fn a_field_that_is_left_out(server: &ApiServer, verdicts: &mut Verdicts) {
    let mut without = a_server("attic-a");
    if let Some(spec) = without.body["spec"].as_object_mut() {
        spec.remove("macAddress");
    }
    let applied = server.door.apply(&without, &Side::Cluster, false).await;
    let Some(applied) = verdicts.well("a Server is applied without a field", applied) else {
        return;
    };
    verdicts.same("the field goes", applied.object["spec"]["macAddress"].clone(), Value::Null);
    verdicts.same("and counts", applied.object["metadata"]["generation"].clone(), json!(2));
    let back = server.door.apply(&a_server("attic-a"), &Side::Cluster, false).await;
    verdicts.well("and comes back", back);
}

/// The conflict names who holds the field; by force it is stargate's again.
async fn another_manager(server: &ApiServer, verdicts: &mut Verdicts) {
    let theirs = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": { "name": "attic-b", "namespace": "stargate" },
        "spec": { "datacenter": "elsewhere" },
    });
    let path = format!("{SERVERS}/attic-b");
    let refused = server.admin.apply_as("kubectl", &path, &theirs).await;
    let verdict = "409 Conflict .spec.datacenter=FieldManagerConflict";
    verdicts.same("stargate's fields are stargate's", refused.verdict(), verdict.into());
    let sentence = "Apply failed with 1 conflict: conflict with \"stargate\": .spec.datacenter";
    verdicts.same("it says whose the field is", refused.message(), sentence);
    let forced = format!("{path}?fieldManager=kubectl&force=true");
    let taken = server.admin.ask("PATCH", &forced, crate::api_server::APPLY, &theirs).await;
    verdicts.same("another takes a field by force", taken.code, 200);
    let conflict = server.door.apply(&a_server("attic-b"), &Side::Cluster, false).await;
    let error = conflict.err();
    let manager = error.as_ref().and_then(|error| error.conflicting_manager());
    verdicts.same("stargate is told who has it", manager, Some("kubectl"));
    let told = error.as_ref().map(ToString::to_string).unwrap_or_default();
    let sentence = "cannot apply Server stargate/attic-b: Apply failed with 1 conflict: conflict \
                    with \"kubectl\": .spec.datacenter";
    verdicts.same("in words, too", told.as_str(), sentence);
    let back = server.door.apply(&a_server("attic-b"), &Side::Cluster, true).await;
    let value = back.map(|it| it.object["spec"]["datacenter"].clone());
    verdicts.same("and takes it back by force", value, Ok(json!("attic")));
}

/// A merge patch of somebody else's is a manager, too, and is seen as drift.
async fn a_change_by_hand(server: &ApiServer, verdicts: &mut Verdicts) {
    let path = format!("{DAEMON_SETS}/goldpinger?fieldManager=somebody");
    let change = json!({ "spec": { "template": { "spec": { "serviceAccountName": "default" } } } });
    let changed = server.admin.ask("PATCH", &path, crate::api_server::MERGE, &change).await;
    verdicts.same("a DaemonSet is changed by hand", changed.code, 200);
    let wanted = manifests::goldpinger().into_iter().find(|it| it.kind == ManifestKind::DaemonSet);
    let wanted = wanted.unwrap();
    let read = server.door.get(wanted.kind, wanted.namespace.as_deref(), &wanted.name).await;
    let Ok(Some(read)) = read else { return };
    let seen = read.seen_against(&wanted).body;
    let account = seen["spec"]["template"]["spec"]["serviceAccountName"].clone();
    verdicts.same("the change is seen", account, json!("default"));
    let conflict = server.door.apply(&wanted, &Side::Cluster, false).await;
    let manager = conflict.err().and_then(|it| it.conflicting_manager().map(str::to_owned));
    verdicts.same("its author is named", manager, Some("somebody".to_owned()));
    let mended = server.door.apply(&wanted, &Side::Cluster, true).await;
    let seen = mended.map(|it| it.seen_against(&wanted).body);
    verdicts.same("and it is mended", seen, Ok(wanted.body));
}

async fn what_cannot_be_changed(server: &ApiServer, verdicts: &mut Verdicts) {
    let path = format!("{BINDINGS}/{}", manifests::BOOTSTRAP_BINDING);
    let other = json!({ "roleRef": { "name": "cluster-admin" } });
    let answer = server.admin.merge(&path, &other).await;
    let verdict = "422 Invalid roleRef=FieldValueInvalid";
    verdicts.same("the role of a binding stays", answer.verdict(), verdict.into());
    let path = format!("{DAEMON_SETS}/goldpinger");
    let other = json!({ "spec": {
        "selector": { "matchLabels": { "app": "other" } },
        "template": { "metadata": { "labels": { "app": "other" } } },
    }});
    let answer = server.admin.merge(&path, &other).await;
    let verdict = "422 Invalid spec.selector=FieldValueInvalid";
    verdicts.same("the selector of a DaemonSet stays", answer.verdict(), verdict.into());
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "spec": { "datacenter": "x" } });
    let answer = server.admin.merge(&format!("{SERVERS}/attic-a"), &stale).await;
    verdicts.same("an old version is a conflict", answer.verdict(), "409 Conflict".into());
    let sentence = "Operation cannot be fulfilled on servers.stargate.io \"attic-a\": the object \
                    has been modified; please apply your changes to the latest version and try again";
    verdicts.same("that says so", answer.message(), sentence);
    let mut wrong = a_server("attic-a");
    wrong.body["spec"]["provider"] = json!("vmware");
    let error = server.door.apply(&wrong, &Side::Cluster, true).await.err();
    let told = error.map(|it| it.to_string()).unwrap_or_default();
    let holds = told.starts_with("cannot apply Server stargate/attic-a: ")
        && told.contains("spec.provider: Unsupported value: \"vmware\"");
    verdicts.holds("stargate tells what is wrong with an object", holds, &told);
    let mut wrong = a_server("attic-a");
    wrong.body["spec"]["nonsense"] = json!(1);
    let error = server.door.apply(&wrong, &Side::Cluster, true).await.err();
    let told = error.as_ref().map(ToString::to_string).unwrap_or_default();
    let sentence = ".spec.nonsense: field not declared in schema";
    verdicts.holds("a field that nobody knows, too", told.ends_with(sentence), &told);
    let again = error.is_some_and(|error| error.is_unavailable());
    verdicts.same("and does not try again", again, false);
}

async fn foreign_objects(server: &ApiServer, verdicts: &mut Verdicts) {
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "theirs" } });
    let made = server.admin.post("/api/v1/namespaces", &namespace).await;
    verdicts.same("somebody makes a namespace", made.code, 201);
    let read = server.door.get(ManifestKind::Namespace, None, "theirs").await;
    let ownership = read.ok().flatten().map(|it| it.ownership);
    verdicts.same("it is foreign", ownership, Some(Ownership::Foreign));
    let ours = server.door.list_ours(ManifestKind::Namespace).await;
    let names = ours.map(|all| all.into_iter().map(|it| it.manifest.name).collect::<Vec<_>>());
    let expected = Ok(vec!["goldpinger".to_owned(), "stargate".to_owned()]);
    verdicts.same("and not among ours", names, expected);
    let lone = Manifest {
        kind: ManifestKind::ServiceAccount,
        namespace: Some("nowhere".to_owned()),
        name: "lone".to_owned(),
        body: json!({}),
    };
    let error = server.door.apply(&lone, &Side::Cluster, true).await.err();
    let is_missing = error.as_ref().is_some_and(ClusterError::is_not_found);
    verdicts.holds("an object needs its namespace", is_missing, &error);
}

async fn pages(server: &ApiServer, verdicts: &mut Verdicts) {
    let selector = format!("stargate.io%2Ftopology={TOPOLOGY}");
    let first = server.admin.get(&format!("{SERVERS}?limit=1&labelSelector={selector}")).await;
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().into_iter().flatten();
        items.filter_map(|it| it["metadata"]["name"].as_str().map(str::to_owned)).collect()
    };
    verdicts.same("a page holds what fits", names(&first.body), vec!["attic-a".to_owned()]);
    let token = first.body["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
    verdicts.holds("and tells that there is more", !token.is_empty(), &first.body["metadata"]);
    let rest = server
        .admin
        .get(&format!("{SERVERS}?limit=1&labelSelector={selector}&continue={token}"))
        .await;
    verdicts.same("the next page goes on", names(&rest.body), vec!["attic-b".to_owned()]);
    let token = rest.body["metadata"]["continue"].as_str().unwrap_or_default();
    verdicts.same("the last page says nothing more", token, "");
}

/// Takes all away again, definitions last.
pub(crate) async fn remove(server: &ApiServer, verdicts: &mut Verdicts) {
    let mut all = manifests::custom_resource_definitions();
    all.extend(everything());
    for manifest in all.into_iter().rev() {
        let name = manifest.object_name().to_string();
        let namespace = manifest.namespace.as_deref();
        let gone = server.door.delete(manifest.kind, namespace, &manifest.name).await;
        verdicts.same(&format!("{name} is deleted"), gone, Ok(()));
        let read = server.door.get(manifest.kind, namespace, &manifest.name).await;
        verdicts.same(&format!("{name} is gone"), read, Ok(None));
        let again = server.door.delete(manifest.kind, namespace, &manifest.name).await;
        verdicts.same(&format!("{name} is deleted once"), again, Ok(()));
    }
    let left = server.admin.get(SERVERS).await;
    verdicts.same("the kinds went with their definitions", left.verdict(), "404".into());
    let foreign = server.admin.get("/api/v1/namespaces/theirs").await;
    verdicts.same("what is foreign stays", foreign.code, 200);
}
