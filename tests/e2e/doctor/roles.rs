//! Roles of the credential: an apply needs actions on what it changes, at the scope of each
//! object.

use std::sync::Arc;

use stargate::plan::readiness::Check;
use stargate::sandbox::fault_injector::Call;

use super::unread::Answers;
use super::{examine, problems};
use crate::existing_tables;
use crate::harness::{Deployment, EXAMPLE};
use crate::refused_calls::is_request;

/// The second worker of the example.
const WORKER: &str = "[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-2\"\n\
                      ip = \"10.50.1.6\"\npod_cidr = \"10.244.66.0/24\"\n";

fn messages(checks: &[Check]) -> Vec<&str> {
    let check = checks.iter().find(|it| it.name == "permissions").unwrap();
    check.findings.iter().map(|it| it.failure.message.as_str()).collect()
}

/// A credential that may only read the subscription, and has a role on each resource group.
#[tokio::test(start_paused = true)]
async fn roles_on_resource_groups_are_enough_for_what_is_in_them() {
    let deployment = Deployment::example_applied().await;
    let matches =
        |call: &Call| is_request(call, "/permissions") && !is_request(call, "/resourceGroups/");
    let body = "{\"value\": [{\"actions\": [\"*/read\"], \"notActions\": []}]}".to_owned();
    deployment.sandbox.set_fault_injector(Some(Arc::new(Answers { matches, body: body.clone() })));
    let checks = examine(&deployment).await;
    assert_eq!(problems(&checks), [] as [String; 0], "{checks:#?}");
    // Groups that do not exist are created by a role on the subscription.
    let fresh = Deployment::example();
    fresh.sandbox.set_fault_injector(Some(Arc::new(Answers { matches, body })));
    let checks = examine(&fresh).await;
    let messages = messages(&checks);
    let is_named = |it: &&str| it.contains("lacks Microsoft.Compute/virtualMachines/write");
    assert!(messages.iter().any(is_named), "{messages:?}");
}

/// An action is missing only if an apply uses it.
#[tokio::test(start_paused = true)]
async fn actions_are_needed_on_what_an_apply_changes() {
    let deployment = Deployment::example_applied().await;
    let without = EXAMPLE.replace(WORKER, "");
    assert_ne!(without, EXAMPLE);
    for action in [
        "Microsoft.Compute/virtualMachines/delete",
        "Microsoft.Network/networkInterfaces/delete",
        "Microsoft.Network/virtualNetworks/write",
    ] {
        deployment.sandbox.change(|sandbox, _| {
            sandbox.arm.account.not_actions.insert(action.to_owned());
        });
    }
    let unchanged = examine(&deployment).await;
    assert_eq!(problems(&unchanged), [] as [String; 0], "{unchanged:#?}");
    let edited = deployment.edited(&without);
    let checks = examine(&edited).await;
    let messages = messages(&checks);
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    for action in ["virtualMachines/delete", "networkInterfaces/delete"] {
        assert!(message.contains(action), "{message}");
    }
    assert!(!message.contains("virtualNetworks/write"), "{message}");
    assert!(message.contains("/resourceGroups/"), "{message}");
}

/// A role on the owner's route table alone is enough for single routes, and its lack is named
/// there.
#[tokio::test(start_paused = true)]
async fn the_role_on_the_owners_route_table_decides_about_single_routes() {
    let deployment = existing_tables::deployment(&existing_tables::existing(), Vec::new()).await;
    let table = existing_tables::firewall().to_string();
    let nothing = r#"{"value": [{"actions": ["*/read"], "notActions": []}]}"#;
    let of_table = |call: &Call| {
        is_request(call, "/routeTables/firewall/providers/Microsoft.Authorization/permissions")
    };
    let of_group = |call: &Call| {
        is_request(call, "/resourceGroups/hub/providers/Microsoft.Authorization/permissions")
    };
    let scopes: [fn(&Call) -> bool; 2] = [of_group, of_table];
    for (number, matches) in scopes.into_iter().enumerate() {
        let answers = Answers { matches, body: nothing.to_owned() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(answers)));
        let checks = examine(&deployment).await;
        let check = checks.iter().find(|it| it.name == "permissions").unwrap();
        if number == 0 {
            assert!(check.findings.is_empty(), "{check:#?}");
            continue;
        }
        let [finding] = &check.findings[..] else { panic!("{check:#?}") };
        let failure = &finding.failure;
        assert!(failure.message.contains("routeTables/routes/write"), "{failure}");
        assert!(failure.message.ends_with(&table), "{failure}");
        assert!(failure.remedy.contains("--role 'Network Contributor'"), "{failure}");
        assert!(failure.remedy.contains(&table), "{failure}");
    }
}
