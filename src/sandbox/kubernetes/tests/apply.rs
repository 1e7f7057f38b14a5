use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use proptest::prelude::*;
use serde_json::json;

use super::*;

#[tokio::test]
async fn an_applied_crd_serves_its_resource() {
    let store = Arc::new(Mutex::new(KubernetesStore::new("1.33.5")));
    let client = client(&store);
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("stargate");
    let made = crds.patch("servers.stargate.io", &params, &Patch::Apply(crd())).await.unwrap();
    let conditions = made.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|it| it.type_ == "Established" && it.status == "True"));
    let api = servers(&client);
    let made = apply(&api, "stargate", "edge", json!({"hostname": "edge"})).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let before = store.lock().unwrap().resource_version();
    crds.patch("servers.stargate.io", &params, &Patch::Apply(crd())).await.unwrap();
    apply(&api, "stargate", "edge", json!({"hostname": "edge"})).await.unwrap();
    assert_eq!(store.lock().unwrap().resource_version(), before);
}

#[tokio::test]
async fn applying_another_managers_field_conflicts_unless_forced() {
    let store = shared();
    let client = client(&store);
    let api = servers(&client);
    apply(&api, "one", "edge", json!({"hostname": "edge", "size": 1})).await.unwrap();
    let error =
        apply(&api, "two", "edge", json!({"hostname": "edge", "size": 2})).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let causes = status.details.unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, ".spec.size");
    assert_eq!(causes[0].message, "conflict with \"one\"");

    let forced = PatchParams::apply("two").force();
    let wish = server("edge", json!({"hostname": "edge", "size": 2}));
    let made = api.patch("edge", &forced, &Patch::Apply(wish)).await.unwrap();
    assert_eq!(made.data["spec"]["size"], 2);
    assert_eq!(made.metadata.generation, Some(2));
    // Now in the opposite direction: both managers own the fields that both apply.
    let error = apply(&api, "one", "edge", json!({"size": 3})).await.unwrap_err();
    assert!(error.to_string().contains("conflict with \"two\""), "{error}");
    apply(&api, "two", "edge", json!({"size": 2})).await.unwrap();
    let left = apply(&api, "two", "edge", json!({})).await.unwrap();
    assert_eq!(left.data["spec"], json!({"hostname": "edge"}));
}

#[tokio::test]
async fn an_update_takes_over_fields_and_a_later_apply_conflicts() {
    let store = shared();
    let client = client(&store);
    let api = servers(&client);
    apply(&api, "one", "edge", json!({"hostname": "edge", "size": 1})).await.unwrap();
    let params = PatchParams { field_manager: Some("hand".to_owned()), ..PatchParams::default() };
    let change = Patch::Merge(json!({"spec": {"size": 5}}));
    api.patch("edge", &params, &change).await.unwrap();
    let error = apply(&api, "one", "edge", json!({"hostname": "edge", "size": 1})).await;
    let message = error.unwrap_err().to_string();
    let expected =
        format!("conflict with \"hand\" using stargate.io/v1alpha1 at {NOW}: .spec.size");
    assert!(message.contains(&expected), "{message}");
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let store = shared();
    let before = store.lock().unwrap().resource_version();
    let client = client(&store);
    let params = PatchParams::apply("one").dry_run();
    let wish = server("edge", json!({"hostname": "edge"}));
    servers(&client).patch("edge", &params, &Patch::Apply(wish)).await.unwrap();
    assert_eq!(store.lock().unwrap().resource_version(), before);
    assert!(servers(&client).get_opt("edge").await.unwrap().is_none());
}

#[tokio::test]
async fn ownership_of_keyed_lists_is_per_item() {
    let store = shared();
    let client = client(&store);
    let api = servers(&client);
    let disk = |name: &str, size: u64| json!({"name": name, "size": size});
    let wish = json!({"hostname": "edge", "disks": [disk("a", 1), disk("b", 2)]});
    apply(&api, "one", "edge", wish).await.unwrap();
    apply(&api, "two", "edge", json!({"disks": [disk("c", 3)]})).await.unwrap();
    let wish = json!({"hostname": "edge", "disks": [disk("a", 1)]});
    let made = apply(&api, "one", "edge", wish).await.unwrap();
    assert_eq!(made.data["spec"]["disks"], json!([disk("a", 1), disk("c", 3)]));
}

fn applied(store: &mut KubernetesStore, spec: &Value) -> Value {
    let uri = format!("{SERVERS}/edge?fieldManager=one");
    let body = server("edge", spec.clone());
    let (code, object) = send(store, "PATCH", &uri, "application/apply-patch+yaml", &body);
    assert!(code < 300, "{object}");
    object
}

fn specification() -> impl Strategy<Value = Value> {
    let notes = prop::collection::btree_map("[a-z]{1,3}", "[a-z]{0,3}", 0..4);
    let disks = prop::collection::btree_map("[a-d]", 0_u64..9, 0..4);
    (prop::option::of(0_u64..9), prop::option::of(notes), prop::option::of(disks)).prop_map(
        |(size, notes, disks)| {
            let mut spec = json!({"hostname": "edge"});
            if let Some(size) = size {
                spec["size"] = json!(size);
            }
            if let Some(notes) = notes {
                spec["notes"] = json!(notes);
            }
            if let Some(disks) = disks {
                spec["disks"] = disks
                    .into_iter()
                    .map(|(name, size)| json!({"name": name, "size": size}))
                    .collect();
            }
            spec
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn applying_twice_changes_nothing(spec in specification()) {
        let mut store = store();
        let first = applied(&mut store, &spec);
        let version = store.resource_version();
        prop_assert_eq!(applied(&mut store, &spec), first);
        prop_assert_eq!(store.resource_version(), version);
    }

    #[test]
    fn a_sole_owner_gets_exactly_its_configuration(
        specs in prop::collection::vec(specification(), 1..5),
    ) {
        let mut store = store();
        for spec in &specs {
            prop_assert_eq!(&applied(&mut store, spec)["spec"], spec);
        }
    }
}
