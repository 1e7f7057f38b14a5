//! Absence is proven: whatever a single object or field of an answer looks like, nothing is
//! deleted, replaced or withdrawn because of it, and other sources stay known.

mod cases;
mod hosts;
pub(crate) mod mutation;
mod partial;
pub(crate) mod rewriting;
mod scope;
mod spelling;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde_json::Value;
use stargate::pipeline::Planned;
use stargate::plan::{Action, Change, Plan, PlanStatus};
use stargate::provider::http::Api;
use stargate::resource::Resource;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};
use mutation::{How, ListForm, Mutation, identity, pointers};
use rewriting::Answers;
use spelling::has_another_spelling;

/// How many mutations of each topology a usual run tries.
const USUAL_SEEDS: u64 = 250;

/// A deployment that is applied, and the objects that its services answer.
struct Applied {
    deployment: Deployment,
    responses: Answers,
    objects: BTreeMap<(Api, String), Value>,
}

impl Applied {
    async fn of(text: &str) -> Self {
        let applied = Deployment::of(text, SandboxState::new(1));
        applied.iterate().await;
        let responses = Answers::default();
        let deployment = applied.with_answers(&responses);
        let plan = deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
        let seen = responses.take_seen().into_iter();
        let objects = seen
            .filter_map(|(api, object)| Some(((api, identity(api, &object)?), object)))
            .collect();
        Self { deployment, responses, objects }
    }

    async fn plan(&self, mutation: &Mutation, destroying: bool) -> Plan {
        self.planned(mutation, destroying).await.plan
    }

    async fn planned(&self, mutation: &Mutation, destroying: bool) -> Planned {
        self.responses.set(Some(mutation.clone()));
        let options = RefreshOptions { destroying, ..RefreshOptions::default() };
        let planned = self.deployment.refresh_and_plan(&options).await;
        self.responses.set(None);
        planned
    }

    /// Every mutation of a field.
    fn of_fields(&self) -> Vec<Mutation> {
        let mut found = Vec::new();
        for ((api, identity), object) in &self.objects {
            for pointer in pointers(object) {
                let mut add = |how| {
                    found.push(Mutation { api: *api, identity: identity.clone(), how });
                };
                add(How::HideField(pointer.clone()));
                add(How::Null(pointer.clone()));
                add(How::Garble(pointer.clone()));
                if object.pointer(&pointer).is_some_and(Value::is_object) {
                    add(How::AddField(pointer.clone()));
                }
                if has_another_spelling(*api, object, &pointer) {
                    add(How::Respell(pointer));
                }
            }
        }
        found
    }

    fn of_azure(&self) -> impl Iterator<Item = &String> {
        self.objects.keys().filter(|(api, _)| *api == Api::Azure).map(|(_, identity)| identity)
    }
}

/// Changes that a plan must not contain because of one response.
fn violations(mutation: &Mutation, planned: &Planned) -> Vec<String> {
    let plan = &planned.plan;
    let mut wrong = changes_that_remove(plan);
    if matches!(mutation.how, How::Respell(_)) && plan.status() != PlanStatus::Matches {
        wrong.push(format!("another spelling is {:?}\n{}", plan.status(), summary(plan)));
    }
    wrong.extend(scope::unknown_beyond(mutation, &planned.observation.inventory));
    wrong
}

/// Deletions, replacements and withdrawn prefixes.
fn changes_that_remove(plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    for change in &plan.changes {
        if matches!(change.action, Action::Delete | Action::Replace) {
            found.push(format!("{:?} {}", change.action, change.address));
        }
        if let lost @ [_, ..] = &withdrawn(change)[..] {
            found.push(format!("{} loses {lost:?}", change.address));
        }
    }
    found
}

/// The prefixes that a change takes from a table, a router or the tailnet.
fn withdrawn(change: &Change) -> Vec<Ipv4Net> {
    let prefixes = |resource: Option<&Resource>| -> Option<BTreeSet<Ipv4Net>> {
        Some(match resource? {
            Resource::RouteTable(table) => table.routes.known()?.keys().copied().collect(),
            Resource::AdvertisedRoutes(set) | Resource::ApprovedRoutes(set) => {
                set.prefixes.known()?.clone()
            }
            Resource::RouterHost(host) => host.kernel_routes.known()?.keys().copied().collect(),
            _ => return None,
        })
    };
    match (prefixes(change.before.as_ref()), prefixes(change.after.as_ref())) {
        (Some(before), Some(after)) => before.difference(&after).copied().collect(),
        _ => Vec::new(),
    }
}

fn seeds() -> u64 {
    let text = std::env::var("STARGATE_ABSENCE_SEEDS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(USUAL_SEEDS)
}

/// A well-mixed number for each seed (splitmix64).
pub(crate) fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

async fn fields_hide_nothing(text: &str) {
    let applied = Applied::of(text).await;
    let mutations = applied.of_fields();
    let count = u64::try_from(mutations.len()).unwrap();
    let chosen: BTreeSet<u64> = (0..seeds()).map(|seed| mixed(seed) % count).collect();
    let mut failed = Vec::new();
    for index in chosen {
        let mutation = &mutations[usize::try_from(index).unwrap()];
        let planned = applied.planned(mutation, false).await;
        let wrong = violations(mutation, &planned);
        if !wrong.is_empty() {
            failed.push(format!("{mutation:?}: {}", wrong.join("; ")));
        }
    }
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn no_field_of_the_example_hides_existing_objects() {
    fields_hide_nothing(EXAMPLE).await;
}

#[tokio::test(start_paused = true)]
async fn no_field_of_two_datacenters_hides_existing_objects() {
    fields_hide_nothing(TWO_DATACENTERS).await;
}

/// Azure's lists omit objects that the identity may not list: a read by ID shows that they
/// exist.
#[tokio::test(start_paused = true)]
async fn an_object_that_lists_leave_out_is_read_by_its_id() {
    let applied = Applied::of(EXAMPLE).await;
    let mut failed = Vec::new();
    for identity in applied.of_azure() {
        let how = How::HideFromLists;
        let mutation = Mutation { api: Api::Azure, identity: identity.clone(), how };
        let planned = applied.planned(&mutation, false).await;
        let wrong = violations(&mutation, &planned);
        let creates = planned.plan.changes.iter().filter(|change| change.action == Action::Create);
        let creates: Vec<String> = creates.map(|change| change.address.to_string()).collect();
        if !wrong.is_empty() || !creates.is_empty() {
            failed.push(format!("{identity}: {wrong:?}, creates {creates:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// An object that may be neither listed nor read is unknown, in a plan and in a destroy.
#[tokio::test(start_paused = true)]
async fn an_object_that_may_not_be_read_is_unknown() {
    let applied = Applied::of(EXAMPLE).await;
    let mut failed = Vec::new();
    for identity in applied.of_azure() {
        let how = How::Refuse;
        let mutation = Mutation { api: Api::Azure, identity: identity.clone(), how };
        let planned = applied.planned(&mutation, false).await;
        let wrong = violations(&mutation, &planned);
        let destroy = applied.plan(&mutation, true).await;
        let claims = destroy.status() == PlanStatus::Matches;
        if !wrong.is_empty() || claims {
            failed.push(format!("{identity}: {wrong:?}, claims that nothing is left: {claims}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A list that is refused, or of another form, hides its objects: it does not show that they
/// are gone. A destroy does not claim that nothing is left.
async fn lists_hide_nothing(text: &str) {
    let applied = Applied::of(text).await;
    let mut failed = Vec::new();
    let lists = applied.responses.lists();
    for (api, least) in [(Api::Azure, 9), (Api::Tailscale, 1), (Api::Kubernetes, 12)] {
        let of_api = lists.iter().filter(|(one, _)| *one == api).count();
        assert!(of_api >= least, "{api:?}: {lists:?}");
    }
    for (api, identity) in lists {
        for form in ListForm::ALL {
            let mutation = Mutation { api, identity: identity.clone(), how: How::List(form) };
            let planned = applied.planned(&mutation, false).await;
            let mut wrong = violations(&mutation, &planned);
            // An object of others is one more in a list that was read.
            let is_read = form == ListForm::StrangeItem;
            if planned.plan.status() == PlanStatus::Matches && !is_read {
                wrong.push("nothing says that the list is missing".to_owned());
            }
            let destroy = applied.plan(&mutation, true).await;
            if destroy.status() == PlanStatus::Matches {
                wrong.push("a destroy claims that nothing is left".to_owned());
            }
            if !wrong.is_empty() {
                failed.push(format!("{identity} {form:?}: {}", wrong.join("; ")));
            }
        }
    }
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn no_list_of_the_example_hides_existing_objects() {
    lists_hide_nothing(EXAMPLE).await;
}

#[tokio::test(start_paused = true)]
async fn no_list_of_two_datacenters_hides_existing_objects() {
    lists_hide_nothing(TWO_DATACENTERS).await;
}
