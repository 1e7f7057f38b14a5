//! A host that cannot be probed is unknown, and nothing else is.

use std::collections::BTreeSet;
use std::sync::Arc;

use stargate::inventory::Source;
use stargate::plan::PlanStatus;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use super::changes_that_remove;
use super::scope::unread_sources;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

/// Loses every probe of one host.
#[derive(Debug)]
struct Silent(String);

impl FaultInjector for Silent {
    fn before(&self, call: &Call) -> Disposition {
        match call {
            Call::Host { hostname, .. } if *hostname == self.0 => Disposition::Lose,
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_answer_hides_nothing_else() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        let hosts: Vec<String> =
            deployment.sandbox.read(|sandbox| sandbox.hosts.keys().cloned().collect());
        assert!(hosts.len() >= 4, "{hosts:?}");
        for host in hosts {
            deployment.sandbox.set_fault_injector(Some(Arc::new(Silent(host.clone()))));
            let planned = deployment.refresh_and_plan(&RefreshOptions::deep()).await;
            let plan = &planned.plan;
            assert_eq!(plan.status(), PlanStatus::Unknown, "{host}: {}", summary(plan));
            assert_eq!(changes_that_remove(plan), Vec::<String>::new(), "{host}");
            assert!(plan.changes.is_empty(), "{host}: {}", summary(plan));
            let unknown = unread_sources(&planned.observation.inventory);
            assert_eq!(unknown, BTreeSet::from([Source::Host(host)]), "{}", summary(plan));
        }
    }
}
