//! The digest by which an applied profile is recognised.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use crate::resource::digest::text_digest;
use crate::resource::version::KubernetesVersion;
use crate::topology::model::Profile;

/// The digest of the profile as applied to one worker.
///
/// It is written on the Node after the whole profile is applied, so that a plan can detect
/// an up-to-date worker without connecting to the host. The labels are those of
/// [`super::labels::node_labels`], `max_pods` is the number after fitting it to the pod
/// CIDR, and the version is the exact one of the worker's kubelet, which the profile need
/// not name.
pub fn profile_digest(
    profile: &Profile,
    kubelet: KubernetesVersion,
    labels: &BTreeMap<String, String>,
    max_pods: u32,
) -> String {
    let mut taints = profile.taints.clone();
    taints.sort();
    canonical_digest(&json!({
        "kubernetesVersion": kubelet,
        "containerRuntime": profile.container_runtime,
        "labels": labels,
        "taints": taints,
        "maxPods": max_pods,
    }))
}

/// SHA-256 of a value with sorted keys, in hexadecimal.
pub fn canonical_digest(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text_digest(&text)
}

/// Sorts keys itself: whether `serde_json` keeps insertion order is a feature
/// that any crate of the build can switch on.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            text.push('{');
            for (name, field) in sorted {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{ContainerRuntime, PackageSource};

    fn profile() -> Profile {
        Profile {
            kubernetes_version: "1.33.5".parse().unwrap(),
            container_runtime: ContainerRuntime::Containerd,
            packages: PackageSource::Upstream,
            managed_cilium: true,
            labels: BTreeMap::new(),
            taints: vec!["a=b:NoSchedule".to_owned(), "c:NoExecute".to_owned()],
            max_pods: None,
        }
    }

    fn digest_of(profile: &Profile, labels: &BTreeMap<String, String>, max_pods: u32) -> String {
        profile_digest(profile, profile.kubernetes_version, labels, max_pods)
    }

    #[test]
    fn the_order_of_taints_does_not_matter_and_their_number_does() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let digest = digest_of(&profile(), &labels, 250);
        let mut turned = profile();
        turned.taints.reverse();
        assert_eq!(digest_of(&turned, &labels, 250), digest);
        turned.taints.pop();
        assert_ne!(digest_of(&turned, &labels, 250), digest);
        assert_ne!(digest_of(&profile(), &labels, 110), digest);
        assert_ne!(digest_of(&profile(), &BTreeMap::new(), 250), digest);
        assert_eq!(digest.len(), 64);
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let one: Value = serde_json::from_str(r#"{"b":{"d":1,"c":[2,3]},"a":null}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":null,"b":{"c":[2,3],"d":1}}"#).unwrap();
        assert_eq!(canonical_digest(&one), canonical_digest(&other));
        assert_ne!(canonical_digest(&one), canonical_digest(&json!({"a": null})));
    }
}
