//! Desired resources agree with the table of kinds.

use proptest::prelude::*;

use super::generate::{all_facts, no_facts, sketches};
use crate::desired::build;
use crate::resource::{Kind, ObjectKey, Service};

/// Whether a key leads to the service that keeps objects of a kind.
fn fits(key: &ObjectKey, kind: Kind) -> bool {
    match (key, &kind.facts().service) {
        (ObjectKey::Azure(id), Service::Azure(arm)) => {
            let resource_type = id.resource_type();
            resource_type.is_none_or(|it| it.eq_ignore_ascii_case(arm.name))
        }
        (ObjectKey::AzureAssociation(_), Service::AzureProperty(_)) => true,
        (ObjectKey::Kubernetes(object), Service::Kubernetes(api)) => {
            object.kind == api.kind && object.namespace.is_some() == api.namespaced
        }
        (
            ObjectKey::Device(_) | ObjectKey::DeviceAdvertised(_) | ObjectKey::DeviceApproved(_),
            Service::Tailnet,
        ) => true,
        (ObjectKey::Host(_), Service::Host) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn desired_resources_have_the_site_of_their_kind(sketch in sketches(false), known in any::<bool>()) {
        let topology = sketch.topology();
        let facts = if known { all_facts(&topology) } else { no_facts() };
        for desired in build(&topology, &facts).unwrap().iter() {
            let kind = desired.address.kind;
            prop_assert_eq!(desired.resource.kind(), kind);
            for container in &desired.contained_in {
                prop_assert!(
                    kind.is_contained_in(container.kind),
                    "{} is in {}", desired.address, container
                );
            }
            if let Some(key) = &desired.key {
                prop_assert!(fits(key, kind), "{} has {:?}", desired.address, key);
            }
        }
    }
}
