//! How long a plan without changes takes when each request takes 200 ms: what can be read side
//! by side is, and requests grow by the pages of the services only.
//!
//! `STARGATE_REFRESH_WORKERS=100` has as many workers in each datacenter, instead of a few.

use std::io::Write as _;
use std::time::Duration;

use stargate::plan::PlanStatus;
use stargate::provider::http::Api;
use stargate::sandbox::SandboxState;
use tokio::time::Instant;

use crate::delayed;
use crate::harness::{Deployment, RefreshOptions, summary};
use crate::makespan::many_workers;

struct Case {
    name: &'static str,
    text: String,
    most: Duration,
}

/// Forty datacenters with so many workers each: every other one of VMs.
fn forty_datacenters(workers: u32) -> String {
    let text = many_workers(1, "")
        .replace("10.240.0.0/13", "10.128.0.0/11")
        .replace("10.0.0.0/16", "10.200.0.0/16");
    let (head, _) = text.split_once("[datacenters.dc1]").unwrap();
    let one = |number: u32| {
        let pool = format!("10.{}.{}.0/17", 132 + number / 2, number % 2 * 128);
        let site = match number % 2 {
            0 => format!(
                "[datacenters.dc{number}.azure]\nresource_group = \"many-dc{number}\"\n\
                 vnet_cidr = \"10.{number}.0.0/16\"\nsubnet_cidr = \"10.{number}.1.0/24\"\n\
                 router_subnet_cidr = \"10.{number}.0.0/24\"\nvm_size = \"Standard_D2s_v5\"\n\
                 [datacenters.dc{number}.router]\n"
            ),
            _ => format!(
                "[datacenters.dc{number}.existing]\nnetwork_cidr = \"10.{number}.0.0/16\"\n\
                 [datacenters.dc{number}.router]\nip = \"10.{number}.0.4\"\n\
                 ssh_address = \"dc{number}.example.com\"\n"
            ),
        };
        format!(
            "[datacenters.dc{number}]\npod_pool = \"{pool}\"\nprofile = \"standard\"\n{site}\
             name = \"dc{number}-router\"\n[datacenters.dc{number}.worker_range]\n\
             name = \"dc{number}-worker-{{:03}}\"\ncount = {workers}\n\
             first_ip = \"10.{number}.1.5\"\n\n"
        )
    };
    head.to_owned() + &(0..40).map(one).collect::<String>()
}

/// Plans that find nothing to change, each in the time that its chain of requests takes.
#[tokio::test(start_paused = true)]
async fn a_plan_without_changes_waits_for_few_requests() {
    let ten = include_str!("../../examples/ten-datacenters/stargate.toml");
    let workers = std::env::var("STARGATE_REFRESH_WORKERS");
    let workers: u32 = workers.map_or(3, |count| count.parse().unwrap());
    let ten = ten.replace("count = 100", &format!("count = {workers}"));
    let cases = [
        Case { name: "10 datacenters", text: ten, most: Duration::from_millis(1_600) },
        Case {
            name: "40 datacenters",
            text: forty_datacenters(workers),
            most: Duration::from_secs(3),
        },
    ];
    for case in cases {
        let mut deployment = Deployment::of(&case.text, SandboxState::new(7));
        deployment.iterate().await;
        deployment.clients = delayed::clients(&deployment);
        let start = Instant::now();
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let taken = start.elapsed();
        let by_api = deployment.clients.requests.by_api();
        let count = |api: Api| by_api.get(&api).copied().unwrap_or_default();
        let _ = writeln!(
            std::io::stderr(),
            "{}: {taken:?}; requests: Azure {}, Tailscale {}, Kubernetes {}",
            case.name,
            count(Api::Azure),
            count(Api::Tailscale),
            count(Api::Kubernetes)
        );
        assert_eq!(planned.plan.status(), PlanStatus::Matches, "{}", summary(&planned.plan));
        assert!(taken <= case.most, "{}: {taken:?}", case.name);
    }
}
