//! New datacenters and workers whose routes an `[[ignore]]` block withholds: packets would
//! never reach them.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::held_prefixes::texts;
use super::withdrawal::sends_packets;
use super::{Action, Change, FieldChange, IgnoredDrift, Plan};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, Resource, Site};
use crate::topology::model::{Datacenter, Topology};

/// A route that is not written because its field is ignored.
#[derive(Debug, Clone, Copy)]
struct Withheld<'a> {
    drift: &'a IgnoredDrift,
    field: &'a FieldChange,
    prefix: Ipv4Net,
}

/// Routes that are not written, indexed by their destination.
pub(super) struct WithheldRoutes<'a> {
    plan: &'a Plan,
    routes: Vec<&'a IgnoredDrift>,
}

impl<'a> WithheldRoutes<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let routes = plan.ignored.iter().filter(|drift| sends_packets(drift.address.kind));
        Self { plan, routes: routes.collect() }
    }

    /// Why packets would not reach a datacenter, where that is the reason.
    pub(super) fn to_datacenter(&self, datacenter: &Datacenter) -> Option<Failure> {
        if self.routes.is_empty() {
            return None;
        }
        let site = Site::Datacenter(datacenter.name.clone());
        let workers = datacenter.workers.iter().filter_map(|worker| {
            Some(self.plan.desired().allocation()?.place(&worker.name)?.pod_cidr)
        });
        let is_pooled = |range: &Ipv4Net| datacenter.pod_pool.is_some_and(|it| it.contains(range));
        let own = std::iter::once(datacenter.network()).chain(datacenter.pod_pool);
        let prefixes = own.chain(workers.filter(|range| !is_pooled(range))).collect();
        self.first(&prefixes).map(|withheld| failure(&withheld, &format!("datacenter {site}")))
    }

    /// The workers that join and that packets would not reach, each with the reason.
    pub(super) fn to_workers(&self, topology: &Topology) -> Vec<(Address, Failure)> {
        let joins = self.plan.changes.iter().filter(|it| {
            it.address.kind == Kind::Worker
                && it.action == Action::Create
                && !self.routes.is_empty()
        });
        let of_worker = |change: &Change| {
            let Some(Resource::Worker(worker)) = &change.after else { return None };
            let is_listed = topology
                .datacenters
                .iter()
                .any(|it| change.address.site == Site::Datacenter(it.name.clone()));
            let withheld = self.first(&BTreeSet::from([worker.pod_cidr])).filter(|_| is_listed)?;
            let subject = format!("worker {}", worker.name);
            Some((change.address.clone(), failure(&withheld, &subject)))
        };
        joins.filter_map(of_worker).collect()
    }

    /// The first route to one of these prefixes.
    fn first(&self, prefixes: &BTreeSet<Ipv4Net>) -> Option<Withheld<'a>> {
        self.routes.iter().find_map(|drift| {
            drift.fields.iter().find_map(|field| {
                let mut added = added(field).into_iter();
                let prefix = added.find(|prefix| prefixes.contains(prefix))?;
                Some(Withheld { drift, field, prefix })
            })
        })
    }
}

/// The prefixes that an ignored field would have and has not.
fn added(field: &FieldChange) -> BTreeSet<Ipv4Net> {
    let Some(after) = &field.after else { return BTreeSet::new() };
    let before = field.before.as_ref().map(texts).unwrap_or_default();
    let keys = field.path.0.iter().filter(|_| field.before.is_none()).cloned();
    let added = texts(after).into_iter().filter(|text| !before.contains(text)).chain(keys);
    let mut all: BTreeSet<String> = added.collect();
    all.extend(keys_of(after, field));
    all.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The keys of a map of routes that are new.
fn keys_of(after: &serde_json::Value, field: &FieldChange) -> BTreeSet<String> {
    let before = field.before.as_ref().and_then(serde_json::Value::as_object);
    let is_new = |key: &&String| before.is_none_or(|before| !before.contains_key(*key));
    after.as_object().into_iter().flat_map(|map| map.keys()).filter(is_new).cloned().collect()
}

fn failure(withheld: &Withheld<'_>, subject: &str) -> Failure {
    let Withheld { drift, field, prefix } = withheld;
    let address = &drift.address;
    Failure::new(
        Code::IgnoredRoute,
        format!(
            "{subject} could not be reached: `{}` of {address} is ignored by `[[ignore]]`, so its \
             route to {prefix} would not be written",
            field.path
        ),
        format!(
            "remove the `[[ignore]]` of {address}, or name only the routes in it that others \
             manage, as in `field = \"routes[10.0.0.0/8]\"`"
        ),
    )
}
