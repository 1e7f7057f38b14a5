use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret};
use kube::api::{
    DeleteParams, EvictParams, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams,
};
use serde_json::json;

use super::*;

fn map(name: &str, tier: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"tier": tier}},
        "data": {"a": "b"}}))
    .unwrap()
}

#[tokio::test]
async fn objects_are_created_listed_changed_and_deleted() {
    let client = client(&shared());
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    for (name, tier) in [("a", "edge"), ("b", "edge"), ("c", "core")] {
        api.create(&PostParams::default(), &map(name, tier)).await.unwrap();
    }
    let again = api.create(&PostParams::default(), &map("a", "edge")).await.unwrap_err();
    assert!(again.to_string().contains("configmaps \"a\" already exists"), "{again}");
    let names = |list: kube::api::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.into_iter().filter_map(|it| it.metadata.name).collect()
    };
    let edge = api.list(&ListParams::default().labels("tier=edge")).await.unwrap();
    assert_eq!(names(edge), ["a", "b"]);
    let one = api.list(&ListParams::default().fields("metadata.name=b")).await.unwrap();
    assert_eq!(names(one), ["b"]);
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    let token = first.metadata.continue_.clone().unwrap();
    let rest = api.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap();
    assert_eq!((names(first), names(rest)), (vec!["a".into(), "b".into()], vec!["c".into()]));

    let old = api.get("a").await.unwrap();
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "c"}})))
        .await
        .unwrap();
    let late = api.replace("a", &PostParams::default(), &old).await.unwrap_err();
    assert!(late.to_string().contains("the object has been modified"), "{late}");
    assert!(api.delete("a", &DeleteParams::default()).await.unwrap().is_right());
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn dependents_are_deleted_and_finalizers_delay_deletion() {
    let store = shared();
    let client = client(&store);
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let owner = api.create(&PostParams::default(), &map("owner", "x")).await.unwrap();
    let uid = owner.metadata.uid.unwrap();
    let mut owned = map("owned", "x");
    owned.metadata = ObjectMeta {
        finalizers: Some(vec!["stargate.io/hold".to_owned()]),
        owner_references: Some(
            serde_json::from_value(json!([{"apiVersion": "v1",
            "kind": "ConfigMap", "name": "owner", "uid": uid}]))
            .unwrap(),
        ),
        ..owned.metadata
    };
    api.create(&PostParams::default(), &owned).await.unwrap();
    api.delete("owner", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("owner").await.unwrap().is_none());
    let held = api.get("owned").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("owned", &PatchParams::default(), &release).await.unwrap();
    assert!(api.get_opt("owned").await.unwrap().is_none());
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_contents() {
    let client = client(&shared());
    let spaces: Api<Namespace> = Api::all(client.clone());
    let wish = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    spaces.patch("shop", &PatchParams::apply("s"), &Patch::Apply(wish)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    maps.create(&PostParams::default(), &map("a", "x")).await.unwrap();
    spaces.delete("shop", &DeleteParams::default()).await.unwrap();
    assert!(spaces.get_opt("shop").await.unwrap().is_none());
    assert!(maps.get_opt("a").await.unwrap().is_none());
    let late = maps.create(&PostParams::default(), &map("a", "x")).await.unwrap_err();
    assert!(late.to_string().contains("namespaces \"shop\" not found"), "{late}");
}

#[tokio::test]
async fn a_watch_reports_changes() {
    let store = shared();
    let client = client(&store);
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let begin = store.lock().unwrap().resource_version().to_string();
    api.create(&PostParams::default(), &map("a", "edge")).await.unwrap();
    api.create(&PostParams::default(), &map("b", "core")).await.unwrap();
    let leave = Patch::Merge(json!({"metadata": {"labels": {"tier": "core"}}}));
    api.patch("a", &PatchParams::default(), &leave).await.unwrap();
    let params = WatchParams::default().labels("tier=edge");
    let events: Vec<WatchEvent<ConfigMap>> =
        api.watch(&params, &begin).await.unwrap().try_collect().await.unwrap();
    assert!(matches!(events[0], WatchEvent::Added(_)), "{events:?}");
    assert!(matches!(events[1], WatchEvent::Deleted(_)), "{events:?}");
    let all: Vec<WatchEvent<ConfigMap>> =
        api.watch(&WatchParams::default(), "0").await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.iter().filter(|it| matches!(it, WatchEvent::Added(_))).count(), 2);
    // A store that was serialised and loaded again has an empty change log.
    let kept = serde_json::to_string(&*store.lock().unwrap()).unwrap();
    *store.lock().unwrap() = serde_json::from_str(&kept).unwrap();
    let events: Vec<WatchEvent<ConfigMap>> =
        api.watch(&params, &begin).await.unwrap().try_collect().await.unwrap();
    assert!(matches!(&events[0], WatchEvent::Error(status) if status.code == 410), "{events:?}");
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn pods_are_selected_by_node_and_evicted() {
    let client = client(&shared());
    let api: Api<Pod> = Api::default_namespaced(client);
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": node,
            "containers": [{"name": "main", "image": "x"}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        api.create(&PostParams::default(), &pod).await.unwrap();
    }
    let params = ListParams::default().fields("spec.nodeName=n1");
    assert_eq!(api.list(&params).await.unwrap().items.len(), 1);
    api.evict("a", &EvictParams::default()).await.unwrap();
    assert!(api.list(&params).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn node_addressing_is_immutable_and_status_is_a_subresource() {
    let client = client(&shared());
    let api: Api<Node> = Api::all(client.clone());
    let node = json!({"metadata": {"name": "w1"}, "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {"capacity": {"cpu": "4"}}});
    let node: Node = serde_json::from_value(node).unwrap();
    let made = api.create(&PostParams::default(), &node).await.unwrap();
    assert_eq!(made.spec.unwrap().pod_cidrs.unwrap(), ["10.1.0.0/24"]);
    let params = PatchParams::default();
    let other = Patch::Merge(json!({"spec": {"podCIDR": "10.2.0.0/24"}}));
    let kube::Error::Api(refused) = api.patch("w1", &params, &other).await.unwrap_err() else {
        panic!("set by a client")
    };
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    assert!(refused.message.contains("may not change podCIDR"), "{refused:?}");
    let both = json!({"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Running"}});
    let main = api.patch("w1", &params, &Patch::Strategic(both.clone())).await.unwrap();
    assert_eq!(main.metadata.labels.unwrap()["a"], "b");
    assert!(main.status.unwrap().phase.is_none());
    let status = api.patch_status("w1", &params, &Patch::Strategic(both)).await.unwrap();
    assert_eq!(status.status.unwrap().phase.unwrap(), "Running");
    let secrets: Api<Secret> = Api::default_namespaced(client);
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}))
            .unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["k"].0, b"v");
}
