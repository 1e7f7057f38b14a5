//! The CRDs: that they are taken, served at once, and hold objects to their
//! schemas.

use serde_json::{Value, json};
use stargate::desired::manifests;
use stargate::resource::Side;
use stargate::resource::kubernetes::ManifestKind;

use crate::api_server::{APPLY, ApiServer, MERGE};
use crate::verdicts::Verdicts;

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(crate) const SERVERS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/servers";
const PROFILES: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/provisioningprofiles";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    nothing_is_there(server, verdicts).await;
    for manifest in manifests::custom_resource_definitions() {
        let applied = server.door.apply(&manifest, &Side::Cluster, true).await;
        verdicts.well(&format!("{} is applied", manifest.name), applied);
    }
    // Right after its definition an object of the kind can be made.
    for manifest in manifests::namespaces() {
        let applied = server.door.apply(&manifest, &Side::Cluster, true).await;
        verdicts.well("stargate's namespace is applied", applied);
    }
    let servers = server.admin.get(SERVERS).await;
    verdicts.same("Servers are served once their definition is applied", servers.code, 200);
    established(server, verdicts).await;
    servers_schema(server, verdicts).await;
    profiles_schema(server, verdicts).await;
    unknown_fields(server, verdicts).await;
    definitions_are_checked(server, verdicts).await;
}

async fn nothing_is_there(server: &ApiServer, verdicts: &mut Verdicts) {
    let answer = server.admin.get(SERVERS).await;
    verdicts.same("an unknown kind is not found", answer.verdict(), "404".into());
    for kind in [ManifestKind::Server, ManifestKind::ProvisioningProfile] {
        let ours = server.door.list_ours(kind).await;
        verdicts.same("a kind that is not served has no objects", ours, Ok(Vec::new()));
        let all = server.door.list_all(kind).await;
        verdicts.same("nor any of others", all, Ok(Vec::new()));
    }
    let none = server.door.get(ManifestKind::Server, Some("stargate"), "w1").await;
    verdicts.same("nor one of a name", none, Ok(None));
}

async fn established(server: &ApiServer, verdicts: &mut Verdicts) {
    let definition = server.admin.get(&format!("{DEFINITIONS}/servers.stargate.io")).await;
    let mut conditions: Vec<&str> = definition.body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["status"] == "True")
        .filter_map(|it| it["type"].as_str())
        .collect();
    conditions.sort_unstable();
    verdicts.same("the definition is served", conditions, vec!["Established", "NamesAccepted"]);
    let names = &definition.body["status"]["acceptedNames"];
    verdicts.same("its short name is accepted", names["shortNames"].clone(), json!(["srv"]));
    let stored = definition.body["status"]["storedVersions"].clone();
    verdicts.same("its version is stored", stored, json!(["v1alpha1"]));
    let discovered = server.admin.get("/apis/stargate.io/v1alpha1").await;
    let mut found: Vec<&str> = discovered.body["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["name"].as_str())
        .collect();
    found.sort_unstable();
    let expected = vec![
        "operations",
        "operations/status",
        "provisioningprofiles",
        "provisioningprofiles/status",
        "servers",
        "servers/status",
    ];
    verdicts.same("the three kinds are discovered with their status", found, expected);
}

fn a_server(name: &str, change: &Value) -> Value {
    let mut spec = json!({
        "hostname": name, "ipAddress": "10.60.1.5", "macAddress": "52:54:00:00:00:05",
        "routerIP": "10.60.0.4", "provider": "existing", "podCIDR": "10.244.65.0/24",
        "datacenter": "attic", "profileRef": { "name": "standard" },
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    if let Some(map) = spec.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": { "name": name, "namespace": "stargate" }, "spec": spec,
    })
}

async fn servers_schema(server: &ApiServer, verdicts: &mut Verdicts) {
    let made = server.admin.post(SERVERS, &a_server("checked", &Value::Null)).await;
    verdicts.same("a good Server is taken", made.verdict(), "201".into());
    verdicts.same("it has a generation", made.body["metadata"]["generation"].clone(), json!(1));
    let again = server.admin.post(SERVERS, &a_server("checked", &Value::Null)).await;
    verdicts.same("once", again.verdict(), "409 AlreadyExists".into());
    let sentence = "servers.stargate.io \"checked\" already exists";
    verdicts.same("and says so", again.message(), sentence);
    for (field, value, verdict) in [
        ("ipAddress", json!("10.60.1.256"), "spec.ipAddress=FieldValueInvalid"),
        ("podCIDR", json!("10.244.65.0"), "spec.podCIDR=FieldValueInvalid"),
        ("macAddress", json!("52:54"), "spec.macAddress=FieldValueInvalid"),
        ("hostname", json!("Not_A_Name"), "spec.hostname=FieldValueInvalid"),
        ("provider", json!("vmware"), "spec.provider=FieldValueNotSupported"),
        ("datacenter", json!(""), "spec.datacenter=FieldValueInvalid"),
        ("datacenter", json!("a".repeat(254)), "spec.datacenter=FieldValueTooLong"),
        ("datacenter", json!(7), "spec.datacenter=FieldValueTypeInvalid"),
        ("profileRef", json!({}), "spec.profileRef.name=FieldValueRequired"),
        ("podCIDR", Value::Null, "spec.podCIDR=FieldValueRequired"),
    ] {
        let wrong = a_server("wrong", &json!({ field: value }));
        let answer = server.admin.post(SERVERS, &wrong).await;
        let what = format!("a Server with {field} {value} is refused");
        verdicts.same(&what, answer.verdict(), format!("422 Invalid {verdict}"));
    }
    two_at_once(server, verdicts).await;
    let path = format!("{SERVERS}/checked");
    let change = json!({ "spec": { "provider": "vmware" } });
    let changed = server.admin.merge(&path, &change).await;
    let verdict = "422 Invalid spec.provider=FieldValueNotSupported";
    verdicts.same("a bad change is refused, too", changed.verdict(), verdict.into());
    let sentence = "Server.stargate.io \"checked\" is invalid: spec.provider: Unsupported value: \
                    \"vmware\": supported values: \"azure\", \"existing\", \"qemu\"";
    verdicts.same("and says what is possible", changed.message(), sentence);
}

async fn two_at_once(server: &ApiServer, verdicts: &mut Verdicts) {
    let wrong = a_server("wrong", &json!({ "provider": "vmware", "hostname": "A" }));
    let answer = server.admin.post(SERVERS, &wrong).await;
    let mut fields: Vec<String> = answer.verdict().split(' ').map(str::to_owned).collect();
    fields.sort_unstable();
    let expected = [
        "422",
        "Invalid",
        "spec.hostname=FieldValueInvalid",
        "spec.provider=FieldValueNotSupported",
    ];
    verdicts.same("two wrong fields are both named", fields, expected.map(str::to_owned).to_vec());
    let wrong = a_server("wrong", &json!({ "ipAddress": "nowhere" }));
    let answer = server.admin.post(SERVERS, &wrong).await;
    let start = "Server.stargate.io \"wrong\" is invalid: spec.ipAddress: Invalid value: \
                 \"nowhere\": spec.ipAddress in body should match '^((25[0-5]";
    verdicts.holds("a pattern is quoted", answer.message().starts_with(start), &answer.message());
}

async fn profiles_schema(server: &ApiServer, verdicts: &mut Verdicts) {
    let profile = |change: &Value| {
        let mut spec = json!({
            "kubernetesVersion": "1.33.5", "containerRuntime": "containerd", "managedCilium": true,
        });
        for (field, value) in change.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        json!({
            "apiVersion": "stargate.io/v1alpha1", "kind": "ProvisioningProfile",
            "metadata": { "name": "checked", "namespace": "stargate" }, "spec": spec,
        })
    };
    for (change, verdict) in [
        (json!({ "kubernetesVersion": "1.33" }), "spec.kubernetesVersion=FieldValueInvalid"),
        (json!({ "containerRuntime": "docker" }), "spec.containerRuntime=FieldValueNotSupported"),
        (json!({ "managedCilium": "yes" }), "spec.managedCilium=FieldValueTypeInvalid"),
        (json!({ "maxPods": 0 }), "spec.maxPods=FieldValueInvalid"),
        (json!({ "maxPods": 1001 }), "spec.maxPods=FieldValueInvalid"),
        (json!({ "maxPods": 1.5 }), "spec.maxPods=FieldValueTypeInvalid"),
        (json!({ "taints": ["a"] }), "spec.taints[0]=FieldValueInvalid"),
        (
            json!({ "taints": ["a:NoSchedule", "a:NoSchedule"] }),
            "spec.taints[1]=FieldValueDuplicate",
        ),
        (json!({ "labels": { "a": "b".repeat(64) } }), "spec.labels.a=FieldValueTooLong"),
    ] {
        let answer = server.admin.post(PROFILES, &profile(&change)).await;
        let what = format!("a profile with {change} is refused");
        verdicts.same(&what, answer.verdict(), format!("422 Invalid {verdict}"));
    }
    let good = profile(&json!({ "maxPods": 110, "taints": ["a=b:NoSchedule", "c:NoExecute"] }));
    let answer = server.admin.post(PROFILES, &good).await;
    verdicts.same("a good profile is taken", answer.verdict(), "201".into());
    server.admin.delete(&format!("{PROFILES}/checked")).await;
}

async fn unknown_fields(server: &ApiServer, verdicts: &mut Verdicts) {
    let path = format!("{SERVERS}/checked");
    let unknown = json!({ "spec": { "nonsense": 1 } });
    let answer = server.admin.merge(&path, &unknown).await;
    let kept = answer.body["spec"]["nonsense"].clone();
    verdicts.same("an unknown field falls away", (answer.code, kept), (200, Value::Null));
    let strict = format!("{path}?fieldValidation=Strict");
    let answer = server.admin.ask("PATCH", &strict, MERGE, &unknown).await;
    let verdict = "422 Invalid patch=FieldValueInvalid";
    verdicts.same("or is refused where that is asked for", answer.verdict(), verdict.into());
    let sentence = "strict decoding error: unknown field \"spec.nonsense\"";
    verdicts.holds("by name", answer.message().ends_with(sentence), &answer.message());
    let strict = format!("{SERVERS}?fieldValidation=Strict");
    let answer = server.admin.post(&strict, &a_server("strict", &unknown["spec"])).await;
    verdicts.same("in a new object, too", answer.verdict(), "400 BadRequest".into());
    let sentence =
        format!("Server in version \"v1alpha1\" cannot be handled as a Server: {sentence}");
    verdicts.same("and by name", answer.message(), sentence.as_str());
    let path = format!("{path}?fieldManager=somebody&force=true");
    let body = a_server("checked", &json!({ "nonsense": 1 }));
    let answer = server.admin.ask("PATCH", &path, APPLY, &body).await;
    let sentence = ".spec.nonsense: field not declared in schema";
    verdicts.same("applying an unknown field is refused", answer.verdict(), "500".into());
    verdicts.holds("by its path", answer.message().ends_with(sentence), &answer.message());
    server.admin.delete(&format!("{SERVERS}/checked")).await;
}

async fn definitions_are_checked(server: &ApiServer, verdicts: &mut Verdicts) {
    let mut wrong = manifests::custom_resource_definitions().remove(0).body;
    wrong["apiVersion"] = json!("apiextensions.k8s.io/v1");
    wrong["kind"] = json!("CustomResourceDefinition");
    wrong["metadata"] = json!({ "name": "machines.stargate.io" });
    let answer = server.admin.post(DEFINITIONS, &wrong).await;
    let verdict = "422 Invalid metadata.name=FieldValueInvalid";
    verdicts.same("a definition of another name is refused", answer.verdict(), verdict.into());
}
