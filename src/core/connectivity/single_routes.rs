//! The topology's routes in route tables of other owners.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::Sources;
use crate::inventory::Inventory;
use crate::resource::route_name::address_name;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Site};

/// A route of the topology in a table of another owner.
#[derive(Debug, Clone)]
pub(super) struct ProjectedRoute<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) address: Address,
    /// The destination that it has now, if it exists.
    pub(super) live: Option<Ipv4Net>,
}

/// Such routes by table, desired and live ones.
#[derive(Debug, Clone, Default)]
pub(super) struct SingleRoutes<'a>(BTreeMap<ArmId, Vec<ProjectedRoute<'a>>>);

impl<'a> SingleRoutes<'a> {
    pub(super) fn of(sources: Sources<'a>) -> Self {
        let inventory: &'a Inventory = sources.inventory;
        let tables = inventory.table_routes.keys();
        let live = tables.flat_map(|table| inventory.routes_of(table)).map(|(key, _)| key);
        let live = live.filter_map(|key| {
            let ObjectKey::Azure(id) = key else { return None };
            Some((key, Address::new(Kind::Route, Site::Cluster, address_name(id))))
        });
        let desired = sources.desired.iter().filter(|it| it.address.kind == Kind::Route);
        let desired = desired.filter_map(|it| Some((it.key.as_ref()?, it.address.clone())));
        // The address of a desired one is known.
        let all: BTreeMap<&'a ObjectKey, Address> = live.chain(desired).collect();
        let mut routes = Self::default();
        for (key, address) in all {
            let table = match key {
                ObjectKey::Azure(id) => id.parent(),
                _ => None,
            };
            let live = match inventory.get(key).map(|it| &it.resource) {
                Some(Resource::Route(route)) => Some(route.address_prefix),
                _ => None,
            };
            if let Some(table) = table {
                routes.0.entry(table).or_default().push(ProjectedRoute { key, address, live });
            }
        }
        routes
    }

    pub(super) fn of_table(&self, table: &ArmId) -> Vec<ProjectedRoute<'a>> {
        self.0.get(table).cloned().unwrap_or_default()
    }
}
