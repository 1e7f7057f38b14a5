//! Searches for the remedy of a broken path: a change of the plan, a decision of the
//! user, or an edit of the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::projection::{
    IntermediateState, Projection, loses_cluster, numbers, path_model, value_after,
};
use super::shrink::shrink;
use crate::connectivity::{
    IncrementalModel, ObjectValue, PathModel, ProjectedState, Provenance, Sources, addresses,
    provenance,
};
use crate::dataplane::{Cause, Drop, Protocol, RoundTrip, Verdict, trace_round_trip};
use crate::inventory::{Observed, Source};
use crate::plan::{Action, Blocked, FieldChange, FindingSeverity, Plan};
use crate::resource::{Address, ArmId, Kind, ObjectKey};

/// The remedy of a broken path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Applying these changes of the plan.
    Apply(Vec<Address>),
    /// The user has to resolve a blocked resource first.
    ResolveBlocked(Box<Blocked>),
    /// Its values are known only after this resource exists.
    WaitFor(Address),
    /// A source has to be read.
    Read {
        /// Why it could not be.
        reason: String,
        /// The action of the user.
        remedy: String,
    },
    /// The host itself has to be probed.
    ProbeHost(Address),
    /// The hosts themselves have to be probed.
    ProbeHosts,
    /// An error that blocks all changes.
    FixError {
        /// The reason why no change of the plan helps.
        message: String,
        /// The action of the user.
        remedy: String,
    },
    /// The topology does not contain it; the text says what to add.
    Manual(String),
    /// A resource that no change of the plan affects has to be changed.
    ChangeOutside {
        /// The resource that drops the packets.
        resource: Address,
        /// Its id, if it is an object of Azure.
        id: Option<ArmId>,
        /// The owner that can change it.
        owner: FactOwner,
    },
}

/// The owner of the resource that drops packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactOwner {
    /// The topology's: it is as the topology describes it.
    Topology,
    /// The topology's, which ignores that it differs.
    Ignored,
    /// AKS's, or of another program that works in the cluster's node resource group.
    NodeResourceGroup,
    /// Another's.
    Other,
}

/// The path in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathQuery {
    /// The source address.
    pub from: Ipv4Addr,
    /// The destination address.
    pub to: Ipv4Addr,
    /// The protocol of the request.
    pub protocol: Protocol,
}

impl PathQuery {
    /// Traces the path; `None` if no host has the source address.
    pub fn traced(&self, model: &PathModel) -> Option<RoundTrip> {
        let from = model.network.end(self.from)?;
        Some(trace_round_trip(&model.network, from, self.to, self.protocol))
    }
}

/// Finds the remedy of a path that is broken in the observed state.
pub fn find_remedy(sources: Projection<'_>, query: PathQuery) -> Remedy {
    let errors = sources.plan.findings.iter().filter(|it| it.severity == FindingSeverity::Error);
    if let Some(error) = errors.into_iter().next() {
        let (message, remedy) = (error.failure.message.clone(), error.failure.remedy.clone());
        return Remedy::FixError { message, remedy };
    }
    let mut trials = Trials::new(sources, query);
    if let Some(changes) = step_by_step(&mut trials) {
        return Remedy::Apply(changes);
    }
    let planned = path_model(sources, &IntermediateState::Planned);
    match query.traced(&planned) {
        Some(round_trip) if round_trip.reached() => Remedy::Apply(fewest(&mut trials)),
        Some(round_trip) => remedy_outside_plan(sources, query, &planned, &round_trip),
        None => match first_deferred(sources) {
            Some(address) => Remedy::WaitFor(address),
            None => Remedy::Manual(unknown_address(query.from)),
        },
    }
}

/// A deferred resource that may create the missing address; workers come first.
fn first_deferred(sources: Projection<'_>) -> Option<Address> {
    let deferred = sources.plan.deferred.iter().map(|deferred| &deferred.address);
    deferred.min_by_key(|address| address.kind != Kind::Worker).cloned()
}

/// Traces a question in states in which some of the changes are made.
struct Trials<'a> {
    projection: Projection<'a>,
    query: PathQuery,
    model: IncrementalModel<'a>,
    objects: BTreeMap<&'a Address, (usize, ObjectValue<'a>)>,
    loses_cluster: bool,
}

/// The result of a question in one state.
struct Trial {
    reached: bool,
    /// The resources that drop the packet.
    named: Vec<Address>,
}

impl Trial {
    fn of(model: &PathModel, query: PathQuery) -> Option<Self> {
        let round_trip = query.traced(model)?;
        let named = round_trip.broken().map(|(_, verdict)| addresses(model, verdict));
        Some(Self { reached: round_trip.reached(), named: named.unwrap_or_default() })
    }
}

impl<'a> Trials<'a> {
    fn new(projection: Projection<'a>, query: PathQuery) -> Self {
        let changes = &projection.plan.changes;
        let keys: Vec<&ObjectKey> = changes.iter().map(|change| &change.key).collect();
        let state = ProjectedState::observed(projection.observed, &keys);
        let values = numbers(&keys).into_iter().zip(changes.iter().map(value_after));
        Self {
            projection,
            query,
            model: IncrementalModel::new(state),
            objects: changes.iter().map(|change| &change.address).zip(values).collect(),
            loses_cluster: changes.iter().any(loses_cluster),
        }
    }

    /// `None` if no host has the source address.
    fn with(&mut self, made: &BTreeSet<Address>) -> Option<Trial> {
        if self.loses_cluster {
            let state = IntermediateState::PlannedOnly(made.clone());
            return Trial::of(&path_model(self.projection, &state), self.query);
        }
        let values = made.iter().filter_map(|address| self.objects.get(address).copied());
        let _difference = self.model.change(&values.collect::<Vec<_>>(), None);
        let trial = Trial::of(self.model.model(), self.query);
        self.model.roll_back();
        trial
    }
}

/// Makes the change of the resource that drops the packet, traces again, and so on.
fn step_by_step(trials: &mut Trials<'_>) -> Option<Vec<Address>> {
    let mut made = Vec::new();
    loop {
        let trial = trials.with(&made.iter().cloned().collect())?;
        if trial.reached {
            return Some(made);
        }
        let is_next = |it: &Address| trials.objects.contains_key(it) && !made.contains(it);
        let next = trial.named.into_iter().find(is_next)?;
        made.push(next);
    }
}

#[cfg(test)]
pub(crate) fn fewest_changes(projection: Projection<'_>, query: PathQuery) -> Vec<Address> {
    fewest(&mut Trials::new(projection, query))
}

/// The changes without which the plan would not repair the path.
fn fewest(trials: &mut Trials<'_>) -> Vec<Address> {
    let all = trials.objects.keys().map(|address| (*address).clone()).collect();
    let needed = shrink(all, |made| trials.with(made).is_some_and(|trial| trial.reached));
    needed.into_iter().collect()
}

/// Why the path stays broken with the whole plan applied.
fn remedy_outside_plan(
    sources: Projection<'_>,
    query: PathQuery,
    planned: &PathModel,
    round_trip: &RoundTrip,
) -> Remedy {
    let Some((_, verdict)) = round_trip.broken() else { return Remedy::Apply(Vec::new()) };
    let named = addresses(planned, verdict);
    let blocked = sources.plan.blocked.iter().find(|blocked| {
        named.contains(&blocked.address) || named.iter().any(|it| keeps_table(blocked, it))
    });
    if let Some(blocked) = blocked {
        return Remedy::ResolveBlocked(Box::new(blocked.clone()));
    }
    let deferred = sources.plan.deferred.iter().find(|one| named.contains(&one.address));
    if let Some(deferred) = deferred {
        return Remedy::WaitFor(deferred.address.clone());
    }
    if let Verdict::Unknown { .. } = verdict
        && let Some(provenance) = provenance(planned, verdict).into_iter().next()
    {
        return read(sources, provenance);
    }
    match verdict {
        Verdict::Dropped(Drop { cause: Cause::CniNotConfigured, .. }) => {
            Remedy::Manual("give the worker a profile, so that it joins".to_owned())
        }
        Verdict::Dropped(Drop { cause: Cause::ShieldsUp, .. }) => Remedy::Manual(
            "run `tailscale set --shields-up=false` on the router that refuses it".to_owned(),
        ),
        Verdict::Dropped(Drop { cause: Cause::Offline(id), .. }) => Remedy::Manual(format!(
            "connect {} to the tailnet: `tailscale status` and `tailscale lock status` on it \
                 show what is missing",
            planned.network.name(*id)
        )),
        Verdict::Dropped(Drop { cause: Cause::NotInTunnel, .. }) => Remedy::Manual(
            "remove the routing rule that sends packets of pods into a tunnel: `stargate plan \
             --deep` names the rule and the command that removes it"
                .to_owned(),
        ),
        Verdict::Dropped(Drop { cause: Cause::ForeignPeer { owner, prefix }, .. }) => {
            Remedy::Manual(format!(
                "withdraw {prefix} from {} in the Tailscale admin console, or use another range in \
                 the topology",
                planned.network.name(*owner)
            ))
        }
        // The topology routes to its own hosts and their pods: the obstacle is elsewhere.
        Verdict::Dropped(_) if planned.network.end(query.to).is_some() => {
            match named.into_iter().next() {
                Some(resource) => change_outside(sources, resource),
                None => Remedy::Manual(unknown_address(query.to)),
            }
        }
        _ => Remedy::Manual(unknown_address(query.to)),
    }
}

/// Whether a blocked association keeps a foreign route table on a subnet.
fn keeps_table(blocked: &Blocked, table: &Address) -> bool {
    let is_kept = |field: &FieldChange| {
        let id = field.before.as_ref().and_then(|before| before.as_str());
        id.is_some_and(|id| ArmId::new(id).name().eq_ignore_ascii_case(&table.name))
    };
    blocked.address.kind == Kind::RouteTableAssociation
        && table.kind == Kind::RouteTable
        && blocked.fields.iter().any(is_kept)
}

/// A remedy that names the owner of the resource and the object.
fn change_outside(sources: Projection<'_>, resource: Address) -> Remedy {
    let Sources { desired, inventory, facts, .. } = sources.observed;
    if let Some(desired) = desired.get(&resource) {
        let id = desired.key.as_ref().and_then(arm_id).cloned();
        let is_ignored = sources.plan.ignored.iter().any(|it| it.address == resource);
        let owner = if is_ignored { FactOwner::Ignored } else { FactOwner::Topology };
        return Remedy::ChangeOutside { resource, id, owner };
    }
    let is_it = |key: &ObjectKey, observed: &Observed| {
        observed.resource.kind() == resource.kind && key.name() == &*resource.name
    };
    let key = inventory.iter().find(|(key, observed)| is_it(key, observed)).map(|(key, _)| key);
    let id = key.and_then(arm_id).cloned();
    let group = id.as_ref().and_then(ArmId::resource_group_name);
    let of_nodes = facts.cluster.as_ref().zip(group);
    let owner = match of_nodes {
        Some((cluster, group)) if cluster.node_resource_group.eq_ignore_ascii_case(group) => {
            FactOwner::NodeResourceGroup
        }
        _ => FactOwner::Other,
    };
    Remedy::ChangeOutside { resource, id, owner }
}

fn arm_id(key: &ObjectKey) -> Option<&ArmId> {
    match key {
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => Some(id),
        _ => None,
    }
}

/// The remedy of a missing fact: read the source that did not answer, or probe the
/// host.
pub(super) fn read(sources: Projection<'_>, provenance: &Provenance) -> Remedy {
    let Provenance { address, source } = provenance;
    let inventory = sources.observed.inventory;
    let key = sources.observed.desired.get(address).and_then(|desired| desired.key.as_ref());
    let of_host = || inventory.gap_at(&Source::Host(address.name.to_string()));
    if let Some(blocked) = sources.plan.blocked.iter().find(|it| it.address == *address)
        && blocked.keeps_predecessor()
    {
        return Remedy::ResolveBlocked(Box::new(blocked.clone()));
    }
    let gap = inventory.gap_at(source).or_else(|| inventory.gap_for(address.kind, key));
    if let Some(gap) = gap.or_else(of_host) {
        let reason = format!("{} could not be read: {}", gap.subject(), gap.failure);
        return Remedy::Read { reason, remedy: gap.failure.remedy.clone() };
    }
    match (address.kind, source) {
        (Kind::Worker, _) => Remedy::ProbeHost(address.clone()),
        (Kind::RouterHost, _) => Remedy::Read {
            reason: format!("{address} was not probed: it has no address in the tailnet"),
            remedy: "see `stargate status`".to_owned(),
        },
        (Kind::ManagedCluster, Source::Kubernetes) => Remedy::Read {
            reason: "Azure has not reported the pod CIDR of an AKS node yet".to_owned(),
            remedy: "wait until it does, then run the same command again".to_owned(),
        },
        _ if is_planned(sources.plan, address) => Remedy::Read {
            reason: format!("{address} does not exist yet: its values are known after the apply"),
            remedy: "run `stargate apply`, then the same command again".to_owned(),
        },
        _ => Remedy::Read {
            reason: format!("stargate does not read {address}"),
            remedy: "inspect it in the Azure portal".to_owned(),
        },
    }
}

/// Whether the plan creates a resource, now or in a later iteration.
fn is_planned(plan: &Plan, address: &Address) -> bool {
    let creates = |action: Action| matches!(action, Action::Create | Action::Replace);
    plan.changes.iter().any(|it| it.address == *address && creates(it.action))
        || plan.deferred.iter().any(|it| it.address == *address && creates(it.action))
}

fn unknown_address(address: Ipv4Addr) -> String {
    format!(
        "no route of the topology leads to {address}: add its network under `[datacenters.NAME]`, \
         or its machine under `[[datacenters.NAME.workers]]`"
    )
}
