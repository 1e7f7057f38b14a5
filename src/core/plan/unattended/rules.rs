//! The changes that the topology permits without approval, by kind, action and field.

use crate::plan::awaiting::ApprovalReason;
use crate::plan::interruptions::detached_group;
use crate::plan::{Action, Change};
use crate::resource::Kind;
use crate::resource::protection::is_record;
use crate::resource::settings::AutoApply;

/// The fields of a worker that are changed without draining it: its Node's, and the
/// kernel routes of its host.
const WORKER_FIELDS: [&str; 3] = ["pod_cidr", "labels", "routes"];

/// The changes that need no approval.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Permitted {
    /// The rule of the topology.
    pub(super) rule: AutoApply,
    /// Whether the topology was destroyed: then nothing is created by this rule.
    pub(super) after_destroy: bool,
}

impl From<AutoApply> for Permitted {
    fn from(rule: AutoApply) -> Self {
        Self { rule, after_destroy: false }
    }
}

/// Why the change itself awaits approval; `None` if it does not.
pub(super) fn reason(permitted: Permitted, change: &Change) -> Option<ApprovalReason> {
    let by_kind = reason_of_kind(permitted, change.address.kind, change.action);
    let of_protection = || removes_protection(change).then_some(ApprovalReason::RemovesProtection);
    let of_filter = || detached_group(change).map(|_| ApprovalReason::RemovesSecurityGroup);
    let is_more = || permitted.rule == AutoApply::Routes && !is_in_place(change);
    by_kind
        .or_else(of_protection)
        .or_else(of_filter)
        .or_else(|| is_more().then_some(ApprovalReason::NotARoute))
}

/// The same where only the kind of the resource and the action are known.
pub(super) fn reason_of_kind(
    permitted: Permitted,
    kind: Kind,
    action: Action,
) -> Option<ApprovalReason> {
    match permitted.rule {
        AutoApply::None => Some(ApprovalReason::ReportOnly),
        AutoApply::Routes if is_route(kind, action) => None,
        AutoApply::Routes => Some(ApprovalReason::NotARoute),
        AutoApply::All if action == Action::Adopt => Some(ApprovalReason::TakesOver),
        AutoApply::All if removes(action) && holds_machines(kind) => {
            Some(ApprovalReason::RemovesMachine)
        }
        AutoApply::All if action == Action::Create && permitted.after_destroy => {
            Some(ApprovalReason::AfterDestroy)
        }
        AutoApply::All => None,
    }
}

pub(super) fn removes(action: Action) -> bool {
    matches!(action, Action::Replace | Action::Delete)
}

/// Whether the deletion of such a resource deletes machines or resources that pods run on.
pub(super) fn holds_machines(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ManagedCluster
            | Kind::NodePool
            | Kind::VirtualMachine
            | Kind::Worker
            | Kind::RouterHost
            | Kind::TailnetDevice
            // Its contents are deleted with it.
            | Kind::ResourceGroup
    )
}

/// Whether it changes only where packets go. The table of a subnet and the prefixes of a
/// device are properties: they are set, and nothing is created.
fn is_route(kind: Kind, action: Action) -> bool {
    match kind {
        // One entry of a table.
        Kind::Route => matches!(action, Action::Create | Action::Update | Action::Delete),
        Kind::RouteTableAssociation
        | Kind::AdvertisedRoutes
        | Kind::ApprovedRoutes
        // Cilium's agent makes the object; only its pod CIDRs are set.
        | Kind::CiliumNode => matches!(action, Action::Create | Action::Update),
        Kind::RouteTable | Kind::RouterHost | Kind::Subnet | Kind::Worker | Kind::Server => {
            action == Action::Update
        }
        _ => false,
    }
}

/// Whether no field is changed that reaches further than routes.
fn is_in_place(change: &Change) -> bool {
    let mut fields = change.differences.iter().filter_map(|field| field.path.0.first());
    let only_routes = match change.address.kind {
        Kind::Worker => fields.all(|field| WORKER_FIELDS.contains(&field.as_str())),
        Kind::Subnet => fields.all(|field| field == "route_table"),
        _ => true,
    };
    change.wave.is_none() && only_routes && !change.records_protection_only()
}

fn removes_protection(change: &Change) -> bool {
    change.differences.iter().any(|field| is_record(&field.path.0) && field.before.is_some())
}
