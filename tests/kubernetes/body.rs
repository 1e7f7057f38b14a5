//! The one body of the test, part by part.

use crate::api_server::ApiServer;
use crate::verdicts::Verdicts;
use crate::{definitions, joining, manifests, nodes, records, refusals, rights, tokens, watches};

/// Checks everything; the parts build on what those before them left there.
pub(crate) async fn run(server: &ApiServer) -> Verdicts {
    let mut verdicts = Verdicts::default();
    definitions::check(server, &mut verdicts).await;
    manifests::check(server, &mut verdicts).await;
    watches::check(server, &mut verdicts).await;
    rights::check(server, &mut verdicts).await;
    tokens::check(server, &mut verdicts).await;
    joining::check(server, &mut verdicts).await;
    refusals::check(server, &mut verdicts).await;
    nodes::check(server, &mut verdicts).await;
    records::check(server, &mut verdicts).await;
    manifests::remove(server, &mut verdicts).await;
    verdicts
}
