//! Only the content of an unreadable list is unknown: everything else is planned and
//! applied.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::inventory::Source;
use stargate::plan::{Action, PlanStatus};
use stargate::provider::http::Api;
use stargate::resource::Kind;
use stargate::sandbox::faults::Fault;

use super::Applied;
use super::mutation::{How, ListForm, Mutation};
use crate::harness::{EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

impl Applied {
    /// The refusal of the list whose name ends so.
    fn refused_list(&self, end: &str) -> Mutation {
        let end = end.to_ascii_lowercase();
        let found = self
            .responses
            .lists()
            .into_iter()
            .find(|(_, list)| list.to_ascii_lowercase().ends_with(&end));
        let (api, identity) = found.unwrap_or_else(|| panic!("no list {end}"));
        Mutation { api, identity, how: How::List(ListForm::Refused) }
    }
}

/// Lists of Azure, and of Kubernetes those that no route is made from.
const LISTS: [&str; 11] = [
    "/natGateways",
    "/networkSecurityGroups",
    "/publicIPAddresses",
    "/networkInterfaces",
    "/virtualMachines",
    "/routeTables",
    "/virtualNetworks",
    "/managedClusters",
    "/resourcegroups",
    "CiliumNodeList",
    "DaemonSetList",
];

#[tokio::test(start_paused = true)]
async fn a_change_is_planned_while_another_kind_cannot_be_listed() {
    let applied = Applied::of(EXAMPLE).await;
    applied.deployment.inject(Fault::RouteMissing, None);
    for list in LISTS {
        let plan = applied.plan(&applied.refused_list(list), false).await;
        let kinds: Vec<Kind> = plan.changes.iter().map(|change| change.address.kind).collect();
        assert_eq!(kinds, [Kind::RouteTable], "{list}\n{}", summary(&plan));
        let in_part: Vec<bool> = plan.gaps.iter().map(|gap| gap.in_part).collect();
        assert_eq!(in_part, [true], "{list}: {:?}", plan.gaps);
        let foreign = plan.blocked.iter().find(|it| it.failure.code == Code::NotOwned);
        assert!(foreign.is_none(), "{list}: {foreign:?}");
    }
}

/// The cluster's own object and its network, each refused or without what it consists of.
fn of_cluster(applied: &Applied) -> Vec<Mutation> {
    let named = |part: &str| {
        let mut all = applied.of_azure();
        all.find(|it| it.contains(part) && !it.contains("/subnets/")).unwrap().clone()
    };
    let mutation = |identity, how| Mutation { api: Api::Azure, identity, how };
    vec![
        mutation(named("managedclusters"), How::Refuse),
        mutation(named("managedclusters"), How::HideField("/properties/networkProfile".to_owned())),
        mutation(named("/aks-vnet"), How::Refuse),
        mutation(named("/aks-vnet"), How::Garble("/properties/addressSpace".to_owned())),
    ]
}

/// Without the facts of the cluster, the rest of Azure and the tailnet are compared.
#[tokio::test(start_paused = true)]
async fn a_change_is_planned_and_made_while_the_facts_of_the_cluster_are_unknown() {
    let applied = Applied::of(EXAMPLE).await;
    for mutation in of_cluster(&applied) {
        applied.deployment.inject(Fault::RouteMissing, None);
        let plan = applied.plan(&mutation, false).await;
        let kinds: Vec<Kind> = plan.changes.iter().map(|change| change.address.kind).collect();
        assert_eq!(kinds, [Kind::RouteTable], "{mutation:?}\n{}", summary(&plan));
        let azure = plan.gaps.iter().filter(|gap| gap.source == Source::Azure);
        let in_part: Vec<bool> = azure.map(|gap| gap.in_part).collect();
        assert_eq!(in_part, [true], "{mutation:?}: {:?}", plan.gaps);
        assert_eq!(plan.status(), PlanStatus::Unknown, "{mutation:?}");
        assert_eq!((plan.deferred.len(), plan.blocked.len()), (0, 0), "{}", summary(&plan));
        applied.responses.set(Some(mutation.clone()));
        let done = applied.deployment.apply(&RefreshOptions::default()).await;
        applied.responses.set(None);
        assert!(matches!(done.status, ApplyStatus::Partial(_)), "{mutation:?}: {:?}", done.status);
        let plan = applied.deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{mutation:?}\n{}", summary(&plan));
    }
}

/// Workers could not be drained, and what is protected is recorded in the cluster, too.
#[tokio::test(start_paused = true)]
async fn nothing_is_destroyed_while_the_facts_of_the_cluster_are_unknown() {
    let applied = Applied::of(EXAMPLE).await;
    for mutation in of_cluster(&applied) {
        let plan = applied.plan(&mutation, true).await;
        assert!(plan.changes.is_empty(), "{mutation:?}\n{}", summary(&plan));
        assert_eq!(plan.status(), PlanStatus::Unknown, "{mutation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_apply_makes_known_changes_and_reports_unknown_facts() {
    let applied = Applied::of(EXAMPLE).await;
    for list in ["/natGateways", "CiliumNodeList"] {
        applied.deployment.inject(Fault::RouteMissing, None);
        applied.responses.set(Some(applied.refused_list(list)));
        let done = applied.deployment.apply(&RefreshOptions::default()).await;
        applied.responses.set(None);
        let ApplyStatus::Partial(failure) = &done.status else {
            panic!("{list}: {:?}", done.status)
        };
        assert!(failure.message.starts_with("part of "), "{list}: {}", failure.message);
        assert!(failure.remedy.contains("role"), "{list}: {}", failure.remedy);
        let plan = applied.deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{list}\n{}", summary(&plan));
    }
}

/// A read by its id proves that an object is absent, where its list is refused.
#[tokio::test(start_paused = true)]
async fn a_missing_object_is_created_while_its_kind_cannot_be_listed() {
    let applied = Applied::of(EXAMPLE).await;
    applied.deployment.inject(Fault::WorkerVmDeleted, None);
    let plan = applied.plan(&applied.refused_list("/virtualMachines"), false).await;
    let created = |kind| {
        let of_kind = plan.changes.iter().filter(move |change| change.address.kind == kind);
        of_kind.filter(|change| change.action == Action::Create).count()
    };
    assert_eq!(created(Kind::VirtualMachine), 1, "{}", summary(&plan));
    assert_eq!(plan.status(), PlanStatus::Unknown);
}

/// The contents that would be deleted with a container may be protected, or needed by
/// others.
#[tokio::test(start_paused = true)]
async fn no_container_is_deleted_while_its_contents_are_hidden() {
    let applied = Applied::of(TWO_DATACENTERS).await;
    let begin = TWO_DATACENTERS.find("[datacenters.cloud]\n").unwrap();
    let end = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let text = format!("{}{}", &TWO_DATACENTERS[..begin], &TWO_DATACENTERS[end..]);
    let refused = applied.refused_list("/virtualMachines");
    let edited = applied.deployment.edited(&text).with_answers(&applied.responses);
    applied.responses.set(Some(refused));
    let plan = edited.plan().await;
    let containers = [Kind::ResourceGroup, Kind::VirtualNetwork, Kind::NetworkInterface];
    let deleted = plan.changes.iter().filter(|change| change.action == Action::Delete);
    let deleted: Vec<String> = deleted
        .filter(|change| containers.contains(&change.address.kind))
        .map(|change| change.address.to_string())
        .collect();
    assert_eq!(deleted, Vec::<String>::new(), "{}", summary(&plan));
    let held = plan.blocked.iter().find(|it| it.address.kind == Kind::ResourceGroup).unwrap();
    assert!(held.failure.message.contains("may contain unread objects"), "{}", held.failure);
}

/// The contents of a group that cannot be listed are unknown: the group stays, and nothing
/// else does.
#[tokio::test(start_paused = true)]
async fn a_group_whose_contents_cannot_be_listed_is_not_deleted() {
    let applied = Applied::of(EXAMPLE).await;
    let group = "/resourcegroups/stargate-aks-e2e-2-dc/resources";
    let path = format!("list /subscriptions/{}{group}", stargate::sandbox::arm::SUBSCRIPTION);
    let how = How::List(ListForm::Refused);
    let mutation = Mutation { api: Api::Azure, identity: path.to_ascii_lowercase(), how };
    let plan = applied.plan(&mutation, true).await;
    let is_deleted = |kind: Kind, name: &str| {
        let mut changes = plan.changes.iter();
        changes.any(|change| change.address.kind == kind && change.address.name == name)
    };
    assert!(!is_deleted(Kind::ResourceGroup, "stargate-aks-e2e-2-dc"), "{}", summary(&plan));
    assert!(is_deleted(Kind::ResourceGroup, "stargate-aks-e2e-2"), "{}", summary(&plan));
    assert!(plan.gaps.is_empty(), "{:?}", plan.gaps);
    let is_group = |it: &&stargate::plan::Blocked| {
        it.address.kind == Kind::ResourceGroup && it.address.name == "stargate-aks-e2e-2-dc"
    };
    let blocked = plan.blocked.iter().find(is_group).unwrap();
    let message = &blocked.failure.message;
    assert!(message.contains("could not be listed"), "{message}");
}

/// Objects that lists omit and reads refuse during a destroy are not reported as deleted.
#[tokio::test(start_paused = true)]
async fn a_destroy_never_claims_that_hidden_objects_are_gone() {
    for unlisted in [
        "natgateways",
        "networkinterfaces",
        "virtualmachines",
        "routetables",
        "publicipaddresses",
        "networksecuritygroups",
        "virtualnetworks",
    ] {
        let provider = if unlisted == "virtualmachines" { "compute" } else { "network" };
        let identity = format!("/providers/microsoft.{provider}/{unlisted}");
        let applied = Applied::of(EXAMPLE).await;
        let mutation = Mutation { api: Api::Azure, identity, how: How::HideType };
        applied.responses.set(Some(mutation));
        let destroyed = applied.deployment.apply(&RefreshOptions::destroying()).await;
        applied.responses.set(None);
        let ApplyStatus::Partial(failure) = &destroyed.status else {
            panic!("{unlisted}: {:?}", destroyed.status)
        };
        assert_ne!(failure.code, Code::NoProgress, "{unlisted}: {failure}");
        let again = applied.deployment.apply(&RefreshOptions::destroying()).await;
        assert_eq!(again.status, ApplyStatus::Converged, "{unlisted}");
    }
}
