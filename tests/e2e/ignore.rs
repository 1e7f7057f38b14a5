//! `[[ignore]]`: an ignored difference is not planned, and nothing follows from it.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::Plan;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, summary};

fn with_rule(text: &str, address: &str, field: &str, until: &str) -> String {
    format!(
        "{text}\n[[ignore]]\naddress = \"{address}\"\nfield = \"{field}\"\nreason = \"known\"\n\
         {until}"
    )
}

fn edited(from: &str, to: &str) -> String {
    assert!(TWO_DATACENTERS.contains(from), "{from}");
    TWO_DATACENTERS.replacen(from, to, 1)
}

/// Another size of the node pool.
fn resized() -> String {
    edited("count = 3\nvm_size = \"Standard_D4s_v5\"", "count = 3\nvm_size = \"Standard_D8s_v5\"")
}

fn is_ignored(plan: &Plan, kind: Kind, field: &str) -> bool {
    let mut of_kind = plan.ignored.iter().filter(|it| it.address.kind == kind);
    of_kind.any(|it| it.fields.iter().any(|change| change.path.to_string() == field))
}

async fn applied() -> Deployment {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(31));
    deployment.iterate().await;
    deployment
}

/// The names and sizes of the node pools.
fn pools(deployment: &Deployment) -> Vec<(String, String)> {
    deployment.sandbox.read(|sandbox| {
        let clusters = sandbox.arm.list("microsoft.containerservice/managedclusters");
        let pools = clusters.flat_map(|(_, cluster)| {
            cluster["properties"]["agentPoolProfiles"].as_array().cloned().unwrap_or_default()
        });
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        pools
            .map(|pool| {
                let vm_size = pool.get("vmSize").or_else(|| pool.pointer("/properties/vmSize"));
                (text(&pool["name"]), text(vm_size.unwrap()))
            })
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn no_successor_takes_the_place_of_a_pool_whose_size_is_ignored() {
    let deployment = applied().await;
    let before = pools(&deployment);
    let planned = deployment.edited(&resized()).plan().await;
    assert!(planned.changes.iter().any(|it| it.address.kind == Kind::NodePool));
    let ignoring = with_rule(&resized(), "node-pool/cluster/system", "vm_size", "");
    let ignoring = deployment.edited(&ignoring);
    let plan = ignoring.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    assert!(is_ignored(&plan, Kind::NodePool, "vm_size"), "{:?}", plan.ignored);
    let writes = ignoring.writes();
    let applied = ignoring.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
    assert_eq!((pools(&ignoring), ignoring.writes()), (before, writes));
    // Other fields of the pool are changed in place.
    let scaled = resized().replacen("count = 3", "count = 4", 1);
    let scaled = deployment.edited(&with_rule(&scaled, "node-pool/*/*", "vm_size", ""));
    scaled.iterate().await;
    assert_eq!(pools(&scaled), pools(&ignoring));
    let plan = scaled.plan().await;
    assert!(plan.is_empty() && is_ignored(&plan, Kind::NodePool, "vm_size"), "{}", summary(&plan));
}

/// The same for a pool that was made with another size by hand.
#[tokio::test(start_paused = true)]
async fn a_pool_that_differs_in_live_state_stays() {
    let deployment = applied().await;
    deployment.sandbox.change(|sandbox, _| {
        let clusters = sandbox.arm.list("microsoft.containerservice/managedclusters");
        let ids: Vec<_> = clusters.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let resize = |cluster: &mut serde_json::Value| {
                let pool = &mut cluster["properties"]["agentPoolProfiles"][0];
                match pool.get("properties").is_some() {
                    true => pool["properties"]["vmSize"] = json!("Standard_D16s_v5"),
                    false => pool["vmSize"] = json!("Standard_D16s_v5"),
                }
            };
            sandbox.arm.modify(&id, resize, &mut String::new);
        }
    });
    assert!(!deployment.plan().await.is_empty());
    let text = with_rule(TWO_DATACENTERS, "node-pool/*/*", "vm_*", "");
    let plan = deployment.edited(&text).plan().await;
    assert!(plan.is_empty() && is_ignored(&plan, Kind::NodePool, "vm_size"), "{}", summary(&plan));
}

/// A rule that is no longer in force stops nothing.
#[tokio::test(start_paused = true)]
async fn an_expired_rule_does_not_keep_a_pool() {
    let deployment = applied().await;
    let expired = |day: &str| {
        let until = format!("until = \"{day}\"\n");
        with_rule(&resized(), "node-pool/*/*", "vm_size", &until)
    };
    let plan = deployment.edited(&expired("2026-01-01")).plan().await;
    assert!(plan.changes.iter().any(|it| it.address.kind == Kind::NodePool));
    assert!(plan.findings.iter().any(|it| it.failure.code == Code::IgnoreExpired));
    assert!(deployment.edited(&expired("2026-01-09")).plan().await.is_empty());
}

/// A VM whose size is ignored is not resized, and its worker is not drained.
#[tokio::test(start_paused = true)]
async fn no_worker_is_drained_for_an_ignored_size() {
    let deployment = applied().await;
    let text = edited(
        "router_subnet_cidr = \"10.50.0.0/24\"\nvm_size = \"Standard_D2s_v5\"",
        "router_subnet_cidr = \"10.50.0.0/24\"\nvm_size = \"Standard_D8s_v5\"",
    );
    let plan = deployment.edited(&text).plan().await;
    assert!(plan.rollout.is_some(), "{}", summary(&plan));
    let rule = with_rule(&text, "virtual-machine/cloud/*", "vm_size", "");
    let plan = deployment.edited(&rule).plan().await;
    assert!(plan.is_empty() && plan.rollout.is_none(), "{}", summary(&plan));
    assert!(is_ignored(&plan, Kind::VirtualMachine, "vm_size"), "{:?}", plan.ignored);
}

/// Routes that are missing drop packets, whether or not their drift is ignored.
#[tokio::test(start_paused = true)]
async fn a_broken_pair_is_shown_although_its_cause_is_ignored() {
    let deployment = applied().await;
    deployment.sandbox.change(|sandbox, _| {
        let tables = sandbox.arm.list("microsoft.network/routetables");
        let ids: Vec<_> = tables.map(|(id, _)| id.clone()).collect();
        for id in ids.iter().filter(|id| id.name() == "stargate-workers-rt") {
            let empty = |table: &mut serde_json::Value| table["properties"]["routes"] = json!([]);
            sandbox.arm.modify(id, empty, &mut String::new);
        }
    });
    let text = with_rule(TWO_DATACENTERS, "route-table/*/*", "routes", "");
    let plan = deployment.edited(&text).plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert!(is_ignored(&plan, Kind::RouteTable, "routes.10.50.0.0/16") || !plan.ignored.is_empty());
    assert!(plan.reachability.leaves_pairs_broken(), "{}", summary(&plan));
}

const LOFT: &str = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.loft.existing]\nnetwork_cidr = \"10.61.0.0/16\"\n\n\
    [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.61.0.4\"\n\n\
    [[datacenters.loft.workers]]\nname = \"loft-a\"\nip = \"10.61.1.5\"\nmac = \
    \"52:54:00:00:02:05\"\n";

/// Entries of a table for a new datacenter or worker would not be written: no unreachable
/// resource is created, and the ignored field is the reason.
#[tokio::test(start_paused = true)]
async fn nothing_is_created_behind_an_ignored_route() {
    let cloud_x = "\n[[datacenters.cloud.workers]]\nname = \"cloud-x\"\n";
    for (name, text, table, new) in [
        (
            "a datacenter",
            format!("{TWO_DATACENTERS}{LOFT}"),
            "route-table/cluster/stargate-workers-rt",
            "loft",
        ),
        (
            "a datacenter whose prefixes no router tunnels",
            format!("{TWO_DATACENTERS}{LOFT}"),
            "router-host/cloud/*",
            "loft",
        ),
        (
            "a worker",
            format!("{TWO_DATACENTERS}{cloud_x}"),
            "route-table/cloud/lab-cloud-router-route-table",
            "cloud-x",
        ),
    ] {
        let before = applied().await;
        let field = if table.starts_with("router-host") { "kernel_routes" } else { "routes" };
        let deployment = before.edited(&with_rule(&text, table, field, ""));
        let plan = deployment.plan().await;
        let mut roots = plan.blocked.iter().filter(|it| it.failure.code == Code::IgnoredRoute);
        let root = roots.find(|it| it.caused_by.is_none());
        let root = root.unwrap_or_else(|| panic!("{name}\n{}", summary(&plan)));
        assert!(root.failure.message.contains("is ignored by"), "{}", root.failure.message);
        let is_new = |address: &stargate::resource::Address| {
            address.site.to_string() == new || address.name.contains(new)
        };
        let made: Vec<String> = plan
            .changes
            .iter()
            .map(|it| &it.address)
            .chain(plan.deferred.iter().map(|it| &it.address))
            .filter(|it| is_new(it))
            .map(ToString::to_string)
            .collect();
        assert_eq!(made, Vec::<String>::new(), "{name}");
        let writes = deployment.writes();
        let ended = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(ended.status, ApplyStatus::Blocked, "{name}");
        assert_eq!(deployment.writes(), writes, "{name}\n{}", summary(&plan));
        deployment.edited(&text).iterate().await;
    }
}
