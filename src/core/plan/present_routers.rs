//! The current routers of datacenters for which the topology names others, and the records
//! of a router.

use super::decision::Comparison;
use crate::resource::{Address, Kind, Site};

/// The router that leads to the hosts of a site now, if the topology has another one there.
pub(super) fn renamed_router<'a>(input: Comparison<'a>, site: &Site) -> Option<&'a str> {
    let router = input.present_routers.get(site)?;
    let device = Address::new(Kind::TailnetDevice, site.clone(), router.as_str());
    input.desired.get(&device).is_none().then_some(router)
}

/// Whether objects of a kind are deleted with the router that they represent.
pub(super) fn is_router_part(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TailnetDevice | Kind::AdvertisedRoutes | Kind::ApprovedRoutes | Kind::RouterHost
    )
}
