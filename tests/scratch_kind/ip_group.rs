//! An object of the made-up kind is created, updated and deleted through plans,
//! and is written and read by its codec in between.

#[path = "../benches/planning/fixture.rs"]
#[expect(dead_code, reason = "the benchmark that it is shared with uses more of it")]
mod fixture;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stargate::inventory::Inventory;
use stargate::plan::preflight::TailnetFacts;
use stargate::plan::{Action, Change, Plan, PlanOptions, PlanningInput, plan};
use stargate::provider::azure::codec::{Marks, decode_any, encode_any, ownership};
use stargate::resource::{ArmId, Kind, ObjectKey, Owner, Resource};
use fixture::{Shape, Fixture};

const SMALL: Shape = Shape { datacenters: 2, workers: 2, nodes: 2 };
const ADDRESS: &str = "ip-group/cluster/stargate-networks";

/// A deployment, and Azure's stored objects of the kind.
struct Case {
    fixture: Fixture,
    owner: Owner,
    stored: BTreeMap<ArmId, Value>,
}

impl Case {
    fn new() -> Self {
        let fixture = Fixture::new(SMALL).unwrap();
        let topology = &fixture.topology;
        let owner = Owner::new(topology.name.clone(), topology.tailnet.tag.clone());
        Self { fixture, owner, stored: BTreeMap::new() }
    }

    /// The id of the object that the topology asks for.
    fn id(&self) -> ArmId {
        match &self.fixture.desired.get(&ADDRESS.parse().unwrap()).unwrap().key {
            Some(ObjectKey::Azure(id)) => id.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The live state: the stored objects of the kind, and all others as desired.
    fn inventory(&self) -> Inventory {
        let mut inventory = self.fixture.inventory.clone();
        let is_of_kind = |key: &ObjectKey| {
            matches!(key, ObjectKey::Azure(id)
                if id.resource_type().as_deref() == Some(Kind::IpGroup.arm_type()))
        };
        inventory.retain(|key| !is_of_kind(key));
        for (id, body) in &self.stored {
            let resource = decode_any("microsoft.network/IPGROUPS", body).unwrap().unwrap();
            let key = ObjectKey::Azure(id.clone());
            inventory.note(key, resource, ownership(body, &self.owner));
        }
        inventory
    }

    fn plan(&self) -> Plan {
        plan(PlanningInput {
            topology: &self.fixture.topology,
            options: &PlanOptions::default(),
            facts: &self.fixture.facts,
            inventory: &self.inventory(),
            tailnet: &TailnetFacts::default(),
            findings: &[],
            requests: &BTreeMap::new(),
            today: jiff::civil::date(2026, 1, 2),
        })
    }

    /// Applies a change to the store.
    fn apply(&mut self, change: &Change) {
        let ObjectKey::Azure(id) = &change.key else { panic!("{:?}", change.key) };
        let Some(expected) = &change.after else {
            self.stored.remove(id);
            return;
        };
        let marks = Marks { owner: &self.owner, site: &change.address.site, object: id };
        let mut body = encode_any(expected, self.stored.get(id), &marks, None).unwrap().unwrap();
        // As Azure answers: the tags of an object are compared with its id.
        body["id"] = id.as_str().into();
        self.stored.insert(id.clone(), body);
    }
}

#[track_caller]
fn only_change(plan: &Plan, address: &str, action: Action) -> Change {
    let [change] = plan.changes.as_slice() else { panic!("{:#?}", plan.changes) };
    assert_eq!((change.address.to_string().as_str(), change.action), (address, action));
    assert!(plan.deferred.is_empty() && plan.blocked.is_empty());
    change.clone()
}

#[test]
fn an_object_of_a_new_kind_is_created_updated_and_deleted() {
    let mut case = Case::new();
    let id = case.id();
    case.apply(&only_change(&case.plan(), ADDRESS, Action::Create));
    assert!(case.plan().is_empty());

    // Another tool removes the prefixes, and adds a field of its own.
    let theirs = json!({"ipAddresses": [], "firewalls": ["theirs"]});
    case.stored.get_mut(&id).unwrap()["properties"] = theirs;
    let change = only_change(&case.plan(), ADDRESS, Action::Update);
    let fields: Vec<String> = change.fields().iter().map(|field| field.path.to_string()).collect();
    assert_eq!(fields, ["prefixes"]);
    case.apply(&change);
    assert!(case.plan().is_empty());
    assert_eq!(case.stored[&id]["properties"]["firewalls"], json!(["theirs"]));

    // An object in another region is another object.
    let stored = case.stored.clone();
    case.stored.get_mut(&id).unwrap()["location"] = json!("westeurope");
    only_change(&case.plan(), ADDRESS, Action::Replace);
    case.stored = stored;

    // An object of ours that the topology does not ask for.
    let (group, _) = id.as_str().rsplit_once('/').unwrap();
    let left_over = ArmId::new(format!("{group}/left-over"));
    case.stored.insert(left_over.clone(), case.stored[&id].clone());
    let change = only_change(&case.plan(), "ip-group/cluster/left-over", Action::Delete);
    assert!(matches!(change.before, Some(Resource::IpGroup(_))));
    case.apply(&change);
    assert!(!case.stored.contains_key(&left_over) && case.plan().is_empty());
}
