//! Devices of routers that were changed in the tailnet: renamed, deleted, de-authorized, with a key
//! that expires.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::provider::azure::client::Precondition;
use stargate::provider::host::HostError;
use stargate::resource::{Kind, ObjectKey};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::tailnet::EmulatedDevice;
use std::sync::Arc;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::refused_calls::{RefusedCalls, is_request};

const AKS_ROUTER: &str = "stargate-aks-e2e-2-router";
const DC_ROUTER: &str = "stargate-aks-e2e-2-dc-router";
/// The router of the second datacenter, a machine that existed before stargate.
const EXISTING_ROUTER: &str = "attic-router";

/// The example, applied, after this many minutes.
async fn example_after(minutes: u64) -> Deployment {
    let deployment = Deployment::example_applied().await;
    tokio::time::advance(Duration::from_secs(60 * minutes)).await;
    deployment
}

fn device(deployment: &Deployment, hostname: &str) -> Option<EmulatedDevice> {
    let find = |sandbox: &SandboxState| {
        sandbox.tailnet.devices().find(|it| it.hostname == hostname).cloned()
    };
    deployment.sandbox.read(find)
}

fn changed(plan: &Plan) -> BTreeSet<String> {
    let text = |change: &stargate::plan::Change| {
        let fields = change.fields();
        let fields: Vec<String> = match change.action {
            Action::Update => fields.iter().map(|field| field.path.to_string()).collect(),
            _ => Vec::new(),
        };
        format!("{} {} {}", change.action.glyph(), change.address, fields.join(","))
            .trim()
            .to_owned()
    };
    plan.changes.iter().map(text).collect()
}

fn updates(router: &str, site: &str, field: &str) -> BTreeSet<String> {
    BTreeSet::from([format!("~ tailnet-device/{site}/{router} {field}")])
}

/// A device of another host name is the router's: it is renamed, and nothing is deleted.
#[tokio::test(start_paused = true)]
async fn a_renamed_device_is_recognised_and_renamed() {
    for (text, minutes, router, site) in [
        (EXAMPLE, 0, DC_ROUTER, "dc1"),
        (EXAMPLE, 60, DC_ROUTER, "dc1"),
        (EXAMPLE, 60, AKS_ROUTER, "cluster"),
        (TWO_DATACENTERS, 60, EXISTING_ROUTER, "attic"),
    ] {
        let deployment = Deployment::of(text, SandboxState::new(3));
        deployment.iterate().await;
        tokio::time::advance(Duration::from_secs(60 * minutes)).await;
        let before = device(&deployment, router).unwrap();
        deployment.inject(Fault::DeviceRenamed, Some(router));
        let plan = deployment.plan().await;
        assert_eq!(changed(&plan), updates(router, site, "hostname"), "{}", summary(&plan));
        deployment.iterate().await;
        assert_eq!(device(&deployment, router).unwrap(), before);
    }
}

/// A host that another program renamed in the tailnet has withdrawn routes, too: the host names
/// its own address.
#[tokio::test(start_paused = true)]
async fn a_renamed_device_without_routes_is_recognised_by_its_address() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    deployment.iterate().await;
    deployment.inject(Fault::DeviceRenamed, Some(EXISTING_ROUTER));
    deployment.sandbox.change(|sandbox, _| {
        let host = sandbox.hosts.get_mut(EXISTING_ROUTER).unwrap();
        let tailscale = host.tailscale.as_mut().unwrap();
        tailscale.advertised_routes.clear();
        let id = tailscale.device.clone().unwrap();
        let device = sandbox.tailnet.device_mut(&id).unwrap();
        device.advertised_routes.clear();
        device.enabled_routes.clear();
    });
    let plan = deployment.plan().await;
    let deleted = plan.changes.iter().filter(|change| change.action == Action::Delete);
    assert_eq!(deleted.count(), 0, "{}", summary(&plan));
    deployment.iterate().await;
    assert!(device(&deployment, EXISTING_ROUTER).is_some());
}

/// A host that does not answer, or fails every command.
#[derive(Debug)]
pub(crate) struct SilentHost(pub(crate) &'static str);

impl FaultInjector for SilentHost {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Host { hostname, .. } if hostname == self.0 => {
                Disposition::Fail(HostError::failed(hostname, "connect", "no route to host"))
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// A device that may be a router's is neither deleted nor replaced while its host is silent.
#[tokio::test(start_paused = true)]
async fn a_renamed_device_that_no_host_confirms_stays() {
    let deployment = example_after(60).await;
    deployment.inject(Fault::DeviceRenamed, Some(DC_ROUTER));
    deployment.sandbox.set_fault_injector(Some(Arc::new(SilentHost(DC_ROUTER))));
    let plan = deployment.plan().await;
    assert_eq!(changed(&plan), BTreeSet::new(), "{}", summary(&plan));
    let reasons: Vec<&str> = plan.gaps.iter().map(|gap| gap.failure.message.as_str()).collect();
    let named = format!("serves the prefixes of router {DC_ROUTER}");
    assert!(reasons.iter().any(|reason| reason.contains(&named)), "{reasons:?}");
}

/// A router is replaced at once where its device was deleted: its machine cannot join again.
#[tokio::test(start_paused = true)]
async fn a_deleted_device_is_replaced_in_one_apply() {
    for (minutes, router, site) in
        [(0, DC_ROUTER, "dc1"), (90, DC_ROUTER, "dc1"), (0, AKS_ROUTER, "cluster")]
    {
        let deployment = example_after(minutes).await;
        let expected = canonical_state(&deployment.copy_of_state());
        deployment.inject(Fault::DeviceDeleted, Some(router));
        let plan = deployment.plan().await;
        let machine =
            plan.changes.iter().find(|it| it.address.kind == Kind::VirtualMachine).unwrap();
        assert_eq!(machine.address.to_string(), format!("virtual-machine/{site}/{router}"));
        assert_eq!(machine.action, Action::Replace, "{}", summary(&plan));
        assert!(machine.planned_because_of.contains("joins the tailnet only at its first boot"));
        let started = tokio::time::Instant::now();
        deployment.iterate().await;
        assert!(started.elapsed() < Duration::from_secs(540), "{:?}", started.elapsed());
        let found = canonical_state(&deployment.copy_of_state());
        assert_eq!(differences(&expected, &found), Vec::<String>::new());
    }
}

/// A machine that existed before joins again; it is not replaced.
#[tokio::test(start_paused = true)]
async fn an_existing_machine_whose_device_was_deleted_joins_again() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    deployment.iterate().await;
    deployment.inject(Fault::DeviceDeleted, Some(EXISTING_ROUTER));
    let plan = deployment.plan().await;
    let device = plan.changes.iter().find(|it| it.address.kind == Kind::TailnetDevice).unwrap();
    assert_eq!(device.action, Action::Create);
    assert!(plan.changes.iter().all(|it| it.address.kind != Kind::VirtualMachine));
    let started = tokio::time::Instant::now();
    deployment.iterate().await;
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// A machine whose key was not used yet is booting: it is waited for, and not replaced.
#[tokio::test(start_paused = true)]
async fn a_machine_that_boots_is_not_replaced() {
    let deployment = Deployment::example_applied().await;
    let copy = deployment.copy_of_state();
    let id = copy.hosts[DC_ROUTER].tailscale.as_ref().unwrap().device.clone().unwrap();
    deployment.sandbox.change(|sandbox, _| {
        sandbox.tailnet.remove_device(&id);
        sandbox.tailnet.restore_key(&format!("stargate {DC_ROUTER}"));
    });
    let plan = deployment.plan().await;
    assert!(
        plan.changes.iter().all(|it| it.address.kind != Kind::VirtualMachine),
        "{}",
        summary(&plan)
    );
}

#[tokio::test(start_paused = true)]
async fn a_device_without_authorization_is_authorized_again() {
    for (router, site) in [(DC_ROUTER, "dc1"), (AKS_ROUTER, "cluster")] {
        let deployment = example_after(60).await;
        deployment.inject(Fault::DeviceUnauthorized, Some(router));
        let plan = deployment.plan().await;
        let device = updates(router, site, "authorized");
        assert!(device.is_subset(&changed(&plan)), "{}", summary(&plan));
        assert!(plan.changes.iter().all(|it| it.action != Action::Replace), "{}", summary(&plan));
        deployment.iterate().await;
        assert!(self::device(&deployment, router).unwrap().authorized);
    }
}

/// A credential that may not authorize devices gets the service's reason, at once.
#[tokio::test(start_paused = true)]
async fn a_refused_authorization_says_so() {
    let deployment = example_after(60).await;
    deployment.inject(Fault::DeviceUnauthorized, Some(DC_ROUTER));
    deployment
        .sandbox
        .set_fault_injector(Some(RefusedCalls::of(403, |call| is_request(call, "/authorized"))));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    let failed = failures(&applied);
    assert!(failed.iter().any(|it| it.contains("authorized of device")), "{failed:?}");
}

/// A key that expires soon is reported before it does, and its expiry switched off.
#[tokio::test(start_paused = true)]
async fn the_expiry_of_a_key_is_reported_and_switched_off() {
    for (fault, text) in [
        (Fault::DeviceKeyExpiring, "expires on 2026-01-04, in 2 days"),
        (Fault::DeviceKeyExpired, "expired on 2026-01-02"),
    ] {
        let deployment = example_after(60).await;
        deployment.inject(fault, Some(DC_ROUTER));
        let plan = deployment.plan().await;
        let found =
            plan.findings.iter().find(|it| it.failure.code == Code::RouterKeyExpiry).unwrap();
        assert!(found.failure.message.contains(text), "{}", found.failure.message);
        let device = plan.changes.iter().find(|it| it.address.kind == Kind::TailnetDevice).unwrap();
        assert_eq!(device.action, Action::Update, "{}", summary(&plan));
        deployment.iterate().await;
        let device = self::device(&deployment, DC_ROUTER).unwrap();
        assert!(device.key_expiry_disabled && device.online);
        assert!(deployment.plan().await.findings.is_empty());
    }
}

/// A key that is valid for months is no finding; its expiry is disabled all the same.
#[tokio::test(start_paused = true)]
async fn a_key_that_expires_later_is_no_finding() {
    let deployment = example_after(60).await;
    let id = device(&deployment, DC_ROUTER).unwrap().node_id;
    deployment.sandbox.change(|sandbox, _| {
        let device = sandbox.tailnet.device_mut(&id).unwrap();
        device.key_expiry_disabled = false;
        device.expires = "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap();
    });
    let plan = deployment.plan().await;
    assert!(plan.findings.is_empty(), "{:?}", plan.findings);
    assert_eq!(changed(&plan), updates(DC_ROUTER, "dc1", "key_expiry_disabled"));
}

/// The machine of a router was deleted by hand: one apply creates it again, with all that was on
/// it.
#[tokio::test(start_paused = true)]
async fn a_router_whose_vm_was_deleted_needs_one_apply() {
    let healthy = Deployment::of(TWO_DATACENTERS, SandboxState::new(6));
    healthy.iterate().await;
    let state = healthy.copy_of_state();
    for (router, site) in [("cloud-router", "cloud"), ("lab-router", "cluster")] {
        let deployment = Deployment::of(TWO_DATACENTERS, state.clone());
        let address = format!("virtual-machine/{site}/{router}").parse().unwrap();
        let plan = deployment.plan().await;
        let Some(ObjectKey::Azure(id)) = plan.desired().get(&address).and_then(|it| it.key.clone())
        else {
            panic!("{address}")
        };
        deployment.clients.azure.delete(&id, Precondition::None).await.unwrap();
        tokio::time::advance(Duration::from_secs(120)).await;
        let plan = deployment.plan().await;
        let host = plan.changes.iter().find(|it| it.address.kind == Kind::RouterHost);
        assert_eq!(host.map(|it| it.action), Some(Action::Create), "{}", summary(&plan));
        assert!(plan.blocked.is_empty(), "{}", summary(&plan));
        deployment.iterate().await;
        assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
        assert_eq!(
            differences(&canonical_state(&state), &canonical_state(&deployment.copy_of_state())),
            Vec::<String>::new()
        );
    }
}
