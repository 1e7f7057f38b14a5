//! An object of the made-up kind is created, updated and deleted through plans,
//! and is written and read by its codec in between.

#[path = "../benches/planning/world.rs"]
#[expect(dead_code, reason = "the benchmark that it is shared with uses more of it")]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stargate::desired::DesiredSet;
use stargate::inventory::Inventory;
use stargate::plan::{Action, Change, Plan, PlanInput, plan};
use stargate::provider::azure::codec::{Marks, decode_any, encode_any, ownership};
use stargate::resource::{Kind, ObjectKey, Owner, Resource};
use world::{Shape, World};

const SMALL: Shape = Shape { datacenters: 2, workers: 2, nodes: 2 };
const ADDRESS: &str = "ip-group/cluster/stargate-networks";

/// A deployment, and what Azure stores of the object.
struct Case {
    world: World,
    owner: Owner,
    key: ObjectKey,
    stored: Option<Value>,
}

impl Case {
    fn new() -> Self {
        let world = World::new(SMALL).unwrap();
        let topology = &world.topology;
        let owner = Owner { topology: topology.name.clone(), tag: topology.tailnet.tag.clone() };
        let key = world.desired.get(&ADDRESS.parse().unwrap()).unwrap().key.clone().unwrap();
        Self { world, owner, key, stored: None }
    }

    /// What is read: everything else as it is wanted, and the object as stored.
    fn inventory(&self) -> Inventory {
        let mut inventory = self.world.inventory.clone();
        inventory.retain(|key| *key != self.key);
        if let Some(body) = &self.stored {
            let resource = decode_any("microsoft.network/IPGROUPS", body).unwrap().unwrap();
            inventory.note(self.key.clone(), resource, ownership(body, &self.owner));
        }
        inventory
    }

    fn plan(&self, desired: &DesiredSet) -> Plan {
        plan(PlanInput {
            topology: self.world.topology.name.as_str(),
            desired,
            inventory: &self.inventory(),
            findings: &[],
            adopt: &BTreeSet::new(),
            protected: &BTreeMap::new(),
            rollout: &self.world.topology.rollout,
            worker_request: None,
            requests: &BTreeMap::new(),
        })
    }

    /// Writes the object as a plan wants it.
    fn write(&mut self, change: &Change) {
        let marks = Marks { owner: &self.owner, side: &change.address.side };
        let wanted = change.after.as_ref().unwrap();
        let body = encode_any(wanted, self.stored.as_ref(), &marks, None);
        self.stored = Some(body.unwrap().unwrap());
    }

    fn is_settled(&self) -> bool {
        self.plan(&self.world.desired).is_empty()
    }
}

#[track_caller]
fn only_change(plan: &Plan, action: Action) -> &Change {
    let [change] = plan.changes.as_slice() else { panic!("{:#?}", plan.changes) };
    assert_eq!((change.address.to_string().as_str(), change.action), (ADDRESS, action));
    assert!(plan.deferred.is_empty() && plan.blocked.is_empty());
    change
}

#[test]
fn an_object_of_a_new_kind_is_created_updated_and_deleted() {
    let mut case = Case::new();
    let created = case.plan(&case.world.desired);
    case.write(only_change(&created, Action::Create));
    assert!(case.is_settled());

    // Somebody takes the prefixes away, and adds a field of their own.
    let body = case.stored.as_mut().unwrap();
    body["properties"] = json!({"ipAddresses": [], "firewalls": ["theirs"]});
    let updated = case.plan(&case.world.desired);
    let change = only_change(&updated, Action::Update);
    let fields: Vec<String> =
        change.fields().iter().map(|field| field.path.to_string()).collect();
    assert_eq!(fields, ["prefixes"]);
    case.write(change);
    assert!(case.is_settled());
    assert_eq!(case.stored.as_ref().unwrap()["properties"]["firewalls"], json!(["theirs"]));

    // Another region is another object.
    case.stored.as_mut().unwrap()["location"] = json!("westeurope");
    only_change(&case.plan(&case.world.desired), Action::Replace);

    // The topology asks for it no longer.
    let mut desired = DesiredSet::default();
    for other in case.world.desired.iter().filter(|it| it.address.kind != Kind::IpGroup) {
        desired.add(other.clone());
    }
    let deleted = case.plan(&desired);
    let change = only_change(&deleted, Action::Delete);
    assert!(matches!(change.before, Some(Resource::IpGroup(_))));
    case.stored = None;
    assert!(case.plan(&desired).is_empty());
}
