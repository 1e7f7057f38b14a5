//! Route tables of other owners, before the topology's routes are deleted from them.

use crate::apply::effects::report::failed;
use crate::apply::events::Outcome;
use crate::apply::guard;
use crate::apply::iteration::Iteration;
use crate::diagnostics::Failure;
use crate::plan::{Change, Execution};
use crate::provider::azure::codec;
use crate::resource::ArmId;

/// Refuses to delete a route while its table is on a subnet of AKS nodes, of which the table
/// itself is asked: the answer of a VNet may be older.
pub(in crate::apply) async fn check_table(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<(), Outcome> {
    let Execution::RouteDeletion(deletion) = &change.execution else { return Ok(()) };
    let Some(table) = change.deleted_route().and_then(ArmId::parent) else {
        return Ok(());
    };
    let body = iteration.readers.azure.get(&table).await.map_err(|error| failed(&error))?;
    let named = body.as_ref().map(codec::route_table::subnets).transpose();
    let named = named.map_err(|error| failed(Failure::from(&error)))?.unwrap_or_default();
    match guard::is_attached(&table, &named, &deletion.node_subnets) {
        Some(reason) => Err(Outcome::GuardFailed { reason }),
        None => Ok(()),
    }
}
