//! The CRDs are accepted, served at once, and enforce their schemas.

use serde_json::{Value, json};
use stargate::desired::manifests;
use stargate::resource::Site;
use stargate::resource::kubernetes::ManifestKind;

use crate::api_server::{APPLY, ApiServer, MERGE};
use crate::check_log::CheckLog;

pub(crate) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(crate) const SERVERS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/servers";
const PROFILES: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/provisioningprofiles";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    check_unserved(server, check_log).await;
    for manifest in manifests::custom_resource_definitions() {
        let applied = server.stargate_client.apply(&manifest, &Site::Cluster, true).await;
        check_log.succeeds(&format!("{} is applied", manifest.name), applied);
    }
    // Objects of the kind can be created immediately after its definition.
    for manifest in manifests::namespaces() {
        let applied = server.stargate_client.apply(&manifest, &Site::Cluster, true).await;
        check_log.succeeds("stargate's namespace is applied", applied);
    }
    let servers = server.admin.get(SERVERS).await;
    check_log.equals("Servers are served once their definition is applied", servers.code, 200);
    established(server, check_log).await;
    servers_schema(server, check_log).await;
    profiles_schema(server, check_log).await;
    unknown_fields(server, check_log).await;
    definitions_are_checked(server, check_log).await;
}

async fn check_unserved(server: &ApiServer, check_log: &mut CheckLog) {
    let response = server.admin.get(SERVERS).await;
    check_log.equals("an unknown kind is not found", response.summary(), "404".into());
    for kind in [ManifestKind::Server, ManifestKind::ProvisioningProfile] {
        let ours = server.stargate_client.list_ours(kind).await;
        check_log.equals("a kind that is not served has no objects", ours, Ok(Vec::new()));
        let all = server.stargate_client.list_all(kind).await;
        check_log.equals("nor do other versions", all, Ok(Vec::new()));
    }
    let none = server.stargate_client.get(ManifestKind::Server, Some("stargate"), "w1").await;
    check_log.equals("nor is there a named one", none, Ok(None));
}

async fn established(server: &ApiServer, check_log: &mut CheckLog) {
    let definition = server.admin.get(&format!("{DEFINITIONS}/servers.stargate.io")).await;
    let mut conditions: Vec<&str> = definition.body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["status"] == "True")
        .filter_map(|it| it["type"].as_str())
        .collect();
    conditions.sort_unstable();
    check_log.equals("the definition is served", conditions, vec!["Established", "NamesAccepted"]);
    let names = &definition.body["status"]["acceptedNames"];
    check_log.equals("its short name is accepted", names["shortNames"].clone(), json!(["srv"]));
    let stored = definition.body["status"]["storedVersions"].clone();
    check_log.equals("its version is stored", stored, json!(["v1alpha1"]));
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
        "topologies",
        "topologies/status",
    ];
    check_log.equals("the four kinds are discovered with their status", found, expected);
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

async fn servers_schema(server: &ApiServer, check_log: &mut CheckLog) {
    let made = server.admin.post(SERVERS, &a_server("checked", &Value::Null)).await;
    check_log.equals("a valid Server is accepted", made.summary(), "201".into());
    check_log.equals("it has a generation", made.body["metadata"]["generation"].clone(), json!(1));
    let again = server.admin.post(SERVERS, &a_server("checked", &Value::Null)).await;
    check_log.equals("once", again.summary(), "409 AlreadyExists".into());
    let sentence = "servers.stargate.io \"checked\" already exists";
    check_log.equals("and the message says it", again.message(), sentence);
    for (field, value, summary) in [
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
        let response = server.admin.post(SERVERS, &wrong).await;
        let what = format!("a Server with {field} {value} is refused");
        check_log.equals(&what, response.summary(), format!("422 Invalid {summary}"));
    }
    check_two_causes(server, check_log).await;
    let path = format!("{SERVERS}/checked");
    let change = json!({ "spec": { "provider": "vmware" } });
    let changed = server.admin.merge(&path, &change).await;
    let summary = "422 Invalid spec.provider=FieldValueNotSupported";
    check_log.equals("an invalid change is refused, too", changed.summary(), summary.into());
    let sentence = "Server.stargate.io \"checked\" is invalid: spec.provider: Unsupported value: \
                    \"vmware\": supported values: \"azure\", \"existing\", \"qemu\"";
    check_log.equals("and lists the supported values", changed.message(), sentence);
}

async fn check_two_causes(server: &ApiServer, check_log: &mut CheckLog) {
    let wrong = a_server("wrong", &json!({ "provider": "vmware", "hostname": "A" }));
    let response = server.admin.post(SERVERS, &wrong).await;
    let mut fields: Vec<String> = response.summary().split(' ').map(str::to_owned).collect();
    fields.sort_unstable();
    let expected = [
        "422",
        "Invalid",
        "spec.hostname=FieldValueInvalid",
        "spec.provider=FieldValueNotSupported",
    ];
    check_log.equals(
        "two invalid fields are both reported",
        fields,
        expected.map(str::to_owned).to_vec(),
    );
    let wrong = a_server("wrong", &json!({ "ipAddress": "nowhere" }));
    let response = server.admin.post(SERVERS, &wrong).await;
    let start = "Server.stargate.io \"wrong\" is invalid: spec.ipAddress: Invalid value: \
                 \"nowhere\": spec.ipAddress in body should match '^((25[0-5]";
    check_log.is_true(
        "a pattern is quoted",
        response.message().starts_with(start),
        &response.message(),
    );
}

async fn profiles_schema(server: &ApiServer, check_log: &mut CheckLog) {
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
    for (change, summary) in [
        (json!({ "kubernetesVersion": "1" }), "spec.kubernetesVersion=FieldValueInvalid"),
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
        let response = server.admin.post(PROFILES, &profile(&change)).await;
        let what = format!("a profile with {change} is refused");
        check_log.equals(&what, response.summary(), format!("422 Invalid {summary}"));
    }
    let good = profile(&json!({ "maxPods": 110, "taints": ["a=b:NoSchedule", "c:NoExecute"] }));
    let response = server.admin.post(PROFILES, &good).await;
    check_log.equals("a valid profile is accepted", response.summary(), "201".into());
    server.admin.delete(&format!("{PROFILES}/checked")).await;
}

async fn unknown_fields(server: &ApiServer, check_log: &mut CheckLog) {
    let path = format!("{SERVERS}/checked");
    let unknown = json!({ "spec": { "nonsense": 1 } });
    let response = server.admin.merge(&path, &unknown).await;
    let kept = response.body["spec"]["nonsense"].clone();
    check_log.equals("an unknown field is pruned", (response.code, kept), (200, Value::Null));
    let strict = format!("{path}?fieldValidation=Strict");
    let response = server.admin.send("PATCH", &strict, MERGE, &unknown).await;
    let summary = "422 Invalid patch=FieldValueInvalid";
    check_log.equals("or is refused with strict validation", response.summary(), summary.into());
    let sentence = "strict decoding error: unknown field \"spec.nonsense\"";
    check_log.is_true("by name", response.message().ends_with(sentence), &response.message());
    let strict = format!("{SERVERS}?fieldValidation=Strict");
    let response = server.admin.post(&strict, &a_server("strict", &unknown["spec"])).await;
    check_log.equals("in a new object, too", response.summary(), "400 BadRequest".into());
    let sentence =
        format!("Server in version \"v1alpha1\" cannot be handled as a Server: {sentence}");
    check_log.equals("and by name", response.message(), sentence.as_str());
    let path = format!("{path}?fieldManager=other-client&force=true");
    let body = a_server("checked", &json!({ "nonsense": 1 }));
    let response = server.admin.send("PATCH", &path, APPLY, &body).await;
    let sentence = ".spec.nonsense: field not declared in schema";
    check_log.equals("applying an unknown field is refused", response.summary(), "500".into());
    check_log.is_true("by its path", response.message().ends_with(sentence), &response.message());
    server.admin.delete(&format!("{SERVERS}/checked")).await;
}

async fn definitions_are_checked(server: &ApiServer, check_log: &mut CheckLog) {
    let mut wrong = manifests::custom_resource_definitions().remove(0).body;
    wrong["apiVersion"] = json!("apiextensions.k8s.io/v1");
    wrong["kind"] = json!("CustomResourceDefinition");
    wrong["metadata"] = json!({ "name": "machines.stargate.io" });
    let response = server.admin.post(DEFINITIONS, &wrong).await;
    let summary = "422 Invalid metadata.name=FieldValueInvalid";
    check_log.equals("a definition of another name is refused", response.summary(), summary.into());
}
