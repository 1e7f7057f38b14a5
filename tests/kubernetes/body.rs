//! The test, which runs all parts in order.

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;
use crate::{
    definitions, joining, leases, manifests, nodes, operations, records, refusals, rights, tokens,
    topologies, watches,
};

/// Runs all checks. Each part depends on the objects that the parts before it created.
pub(crate) async fn run(server: &ApiServer) -> CheckLog {
    let mut check_log = CheckLog::default();
    definitions::check(server, &mut check_log).await;
    manifests::check(server, &mut check_log).await;
    watches::check(server, &mut check_log).await;
    rights::check(server, &mut check_log).await;
    leases::check(server, &mut check_log).await;
    tokens::check(server, &mut check_log).await;
    joining::check(server, &mut check_log).await;
    refusals::check(server, &mut check_log).await;
    nodes::check(server, &mut check_log).await;
    records::check(server, &mut check_log).await;
    operations::check(server, &mut check_log).await;
    topologies::check(server, &mut check_log).await;
    manifests::remove(server, &mut check_log).await;
    check_log
}
