//! The target of a command: the services that it reads and changes.

use serde_json::Value;

use super::session::ReadSession;
use crate::provider::clients::ReadClients;
use crate::render::{PlanTarget, PlanTargetCloud};
use crate::topology::model::Topology;

/// The version of the API that lists subscriptions.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// Where the session of a command works.
pub(crate) async fn of(session: &ReadSession) -> PlanTarget {
    let topology = &session.loaded.topology;
    if session.sandbox.is_some() {
        let cluster = topology.cluster.name.to_string();
        return PlanTarget { cloud: PlanTargetCloud::Sandbox, cluster };
    }
    let id = session.subscription.as_str();
    let subscription = find_subscription(&session.clients, id).await;
    in_clouds(id, subscription.as_ref(), topology)
}

/// The subscription as Azure lists it. A credential that may not list subscriptions gets
/// the id alone.
async fn find_subscription(clients: &ReadClients, id: &str) -> Option<Value> {
    let all = clients.azure.list("/subscriptions", SUBSCRIPTIONS_VERSION).await.ok()?;
    let is_it = |one: &Value| one["subscriptionId"].as_str() == Some(id);
    all.into_iter().find(is_it)
}

fn in_clouds(id: &str, subscription: Option<&Value>, topology: &Topology) -> PlanTarget {
    let text = |key: &str| Some(subscription?[key].as_str()?.to_owned());
    let cloud = PlanTargetCloud::Azure {
        subscription: id.to_owned(),
        subscription_name: text("displayName"),
        tenant: text("tenantId"),
        tailnet: topology.tailnet.name.clone(),
    };
    PlanTarget { cloud, cluster: topology.cluster.name.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::topology::load::load_text;

    fn topology(tailnet: &str) -> Topology {
        let text = include_str!("../../tests/e2e/schema_matrix/base.toml");
        load_text("stargate.toml", &format!("{text}{tailnet}")).expect("a topology").topology
    }

    #[test]
    fn the_subscription_is_named_with_its_id_and_tenant() {
        let listed = json!({ "subscriptionId": "1-2", "displayName": "Production",
                             "tenantId": "3-4" });
        assert_eq!(
            in_clouds("1-2", Some(&listed), &topology("\n[tailnet]\nname = 'example.com'\n"))
                .to_string(),
            "Target: Azure subscription Production (1-2), tenant 3-4, tailnet example.com, \
             cluster lab"
        );
        assert_eq!(
            in_clouds("1-2", None, &topology("")).to_string(),
            "Target: Azure subscription (1-2), the tailnet of the credential, cluster lab"
        );
    }
}
