//! Workers that move to another place, and machines that get another name or address: the old
//! place stays until the new one serves, and one apply converges.

use std::sync::Arc;

use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::Code;
use stargate::resource::ArmId;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::observer::Observer;

const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";
const CLOUD_B_IN_ATTIC: &str = "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\n\
                                ip = \"10.60.1.9\"\nmac = \"52:54:00:00:00:09\"\n";
/// Another datacenter of VMs.
pub(crate) const SKY: &str = "\n[datacenters.sky]\npod_pool = \"10.244.96.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.sky.azure]\nresource_group = \"lab-sky\"\nvnet_cidr = \"10.51.0.0/16\"\n\
    subnet_cidr = \"10.51.1.0/24\"\nrouter_subnet_cidr = \"10.51.0.0/24\"\n\
    vm_size = \"Standard_D2s_v5\"\n\n[datacenters.sky.router]\nname = \"sky-router\"\n\n\
    [[datacenters.sky.workers]]\nname = \"sky-a\"\n";
const CLOUD_B_IN_SKY: &str = "\n[[datacenters.sky.workers]]\nname = \"cloud-b\"\n";

pub(crate) fn edit(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

fn cloud_b_to_attic() -> String {
    edit(TWO_DATACENTERS, &[(CLOUD_B, "")]) + CLOUD_B_IN_ATTIC
}

fn attic_a_to_cloud() -> String {
    let arrives = format!("{CLOUD_B}\n[[datacenters.cloud.workers]]\nname = \"attic-a\"\n");
    edit(TWO_DATACENTERS, &[(ATTIC_A, ""), (CLOUD_B, &arrives)])
}

pub(crate) async fn applied(text: &str, seed: u64) -> Deployment {
    let deployment = Deployment::of(text, SandboxState::new(seed));
    deployment.iterate().await;
    deployment
}

pub(crate) fn allowing_loss() -> RefreshOptions {
    RefreshOptions { allow_loss: true, ..RefreshOptions::default() }
}

pub(crate) fn pairs(deployment: &Deployment) -> usize {
    let now = deployment.sandbox.now();
    deployment.sandbox.read(|state| state.connected_nodes(now)).len()
}

/// Applies once, and asserts that nothing is left to do.
pub(crate) async fn apply_to_the_end(deployment: &Deployment, name: &str) -> Applied {
    let applied = deployment.apply(&allowing_loss()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failed = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{name}\n{failed}\n{left}");
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{name}\n{}", summary(&plan));
    applied
}

fn has_vm(deployment: &Deployment, group: &str, name: &str) -> bool {
    let subscription = stargate::sandbox::arm::SUBSCRIPTION;
    let id = ArmId::resource_group(subscription, group)
        .in_group("Microsoft.Compute/virtualMachines", name);
    deployment.sandbox.read(|state| state.arm.get(&id).is_some())
}

/// A step on a host fails.
#[derive(Debug)]
struct FailingStep(&'static str, &'static str);

impl FaultInjector for FailingStep {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Host { hostname, activity, .. }
                if *activity == self.1 && hostname.as_str() == self.0 =>
            {
                Disposition::Refuse { status: 100, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// The join at the new place fails: the machine at the old place is still there. The next apply
/// goes on, and the old file brings the worker back.
#[tokio::test(start_paused = true)]
async fn the_old_machine_stays_until_its_worker_has_arrived() {
    let with_sky = format!("{TWO_DATACENTERS}{SKY}");
    let to_sky = edit(&with_sky, &[(CLOUD_B, "")]) + CLOUD_B_IN_SKY;
    for (name, before, moved) in [
        ("to an existing machine", TWO_DATACENTERS.to_owned(), cloud_b_to_attic()),
        ("to another VM", with_sky, to_sky),
    ] {
        let deployment = applied(&before, 11).await;
        let all = pairs(&deployment);
        let edited = deployment.edited(&moved);
        edited.sandbox.set_fault_injector(Some(Arc::new(FailingStep("cloud-b", "kubelet"))));
        let failed = edited.apply(&allowing_loss()).await;
        edited.sandbox.set_fault_injector(None);
        assert!(matches!(failed.status, ApplyStatus::Partial(_)), "{name}: {:?}", failed.status);
        assert!(has_vm(&edited, "lab-cloud", "cloud-b"), "{name}: {:?}", failures(&failed));
        let state = edited.copy_of_state();

        // The plan that goes on still waits for the arrival.
        edited.sandbox.set_fault_injector(Some(Arc::new(FailingStep("cloud-b", "kubelet"))));
        edited.apply(&allowing_loss()).await;
        edited.sandbox.set_fault_injector(None);
        assert!(has_vm(&edited, "lab-cloud", "cloud-b"), "{name}");
        apply_to_the_end(&edited, name).await;
        assert!(!has_vm(&edited, "lab-cloud", "cloud-b"), "{name}");
        assert_eq!(pairs(&edited), all, "{name}");

        let undone = Deployment::of(&before, state);
        apply_to_the_end(&undone, name).await;
        assert!(has_vm(&undone, "lab-cloud", "cloud-b"), "{name}");
        assert_eq!(pairs(&undone), all, "{name}");
    }
}

/// The whole old place goes: its router stays in the tailnet until the worker has arrived.
#[tokio::test(start_paused = true)]
async fn the_router_of_the_old_place_stays_until_its_worker_has_arrived() {
    let end = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let left =
        format!("{}[[datacenters.cloud.workers]]\nname = \"attic-a\"\n", &TWO_DATACENTERS[..end]);
    let deployment = applied(TWO_DATACENTERS, 24).await;
    let edited = deployment.edited(&left);
    let is_member = |deployment: &Deployment| {
        deployment.sandbox.read(|state| {
            state.tailnet.devices().any(|device| device.hostname == "attic-router" && device.online)
        })
    };
    edited.sandbox.set_fault_injector(Some(Arc::new(FailingStep("attic-a", "kubelet"))));
    let failed = edited.apply(&allowing_loss()).await;
    edited.sandbox.set_fault_injector(None);
    assert!(matches!(failed.status, ApplyStatus::Partial(_)), "{:?}", failed.status);
    assert!(is_member(&edited), "{:?}", failures(&failed));
    apply_to_the_end(&edited, "the worker arrives").await;
    assert!(!is_member(&edited));
}

/// A host of its own answers at the new place before the worker leaves the old one.
#[tokio::test(start_paused = true)]
async fn a_worker_does_not_leave_for_a_host_that_does_not_answer() {
    let deployment = applied(TWO_DATACENTERS, 12).await;
    let edited = deployment.edited(&cloud_b_to_attic());
    let label = "cloud-b at 10.60.1.9";
    edited.sandbox.change(|state, _| {
        state.hosts.get_labelled_mut(label).unwrap().powered_on = false;
    });
    let all = pairs(&edited);
    let failed = edited.apply(&allowing_loss()).await;
    let text = failures(&failed).join("\n");
    assert!(text.contains("its new host was probed first"), "{text}");
    assert!(has_vm(&edited, "lab-cloud", "cloud-b"), "{text}");
    assert_eq!(pairs(&edited), all, "{text}");
    edited.sandbox.change(|state, _| {
        state.hosts.get_labelled_mut(label).unwrap().powered_on = true;
    });
    apply_to_the_end(&edited, "the host answers").await;
}

/// An old machine that cannot be reset while its kubelet serves is not left running beside the
/// new one.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_old_machine_cannot_be_reset_does_not_join_elsewhere() {
    let deployment = applied(TWO_DATACENTERS, 13).await;
    let edited = deployment.edited(&cloud_b_to_attic());
    edited.sandbox.set_fault_injector(Some(Arc::new(FailingStep("cloud-b", "reset"))));
    let failed = edited.apply(&allowing_loss()).await;
    edited.sandbox.set_fault_injector(None);
    assert!(matches!(failed.status, ApplyStatus::Partial(_)), "{:?}", failed.status);
    let is_bare = edited.sandbox.read(|state| {
        let mut hosts = state.hosts.named("cloud-b");
        hosts.any(|(label, host)| label.contains("10.60.1.9") && host.worker.kubelet.is_none())
    });
    assert!(is_bare && has_vm(&edited, "lab-cloud", "cloud-b"), "{:?}", failures(&failed));
    apply_to_the_end(&edited, "the old machine can be reset").await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_moves_between_vms_and_existing_machines_in_one_apply() {
    for (name, text) in [("to VMs", attic_a_to_cloud()), ("to machines", cloud_b_to_attic())] {
        let deployment = applied(TWO_DATACENTERS, 14).await;
        let all = pairs(&deployment);
        let edited = deployment.edited(&text);
        apply_to_the_end(&edited, name).await;
        assert_eq!(pairs(&edited), all, "{name}");
        // And back.
        let back = edited.edited(TWO_DATACENTERS);
        apply_to_the_end(&back, name).await;
        assert_eq!(pairs(&back), all, "{name}");
    }
}

/// The operator gave two machines each other's name, and the file says so.
#[tokio::test(start_paused = true)]
async fn two_workers_swap_their_names_in_one_apply() {
    let swapped = |one: &str, other: &str, text: &str| {
        edit(text, &[(one, "\"between\""), (other, one), ("\"between\"", other)])
    };
    let pool_only = edit(TWO_DATACENTERS, &[("pod_cidr = \"10.244.200.0/24\"\n", "")]);
    for (name, before, after) in [
        (
            "in one datacenter",
            TWO_DATACENTERS,
            swapped("\"attic-a\"", "\"attic-b\"", TWO_DATACENTERS),
        ),
        (
            "with ranges from the pool",
            &pool_only,
            swapped("\"attic-a\"", "\"attic-b\"", &pool_only),
        ),
        (
            "between datacenters",
            TWO_DATACENTERS,
            swapped("\"attic-a\"", "\"cloud-b\"", TWO_DATACENTERS),
        ),
    ] {
        let deployment = applied(before, 15).await;
        let all = pairs(&deployment);
        let edited = deployment.edited(&after);
        apply_to_the_end(&edited, name).await;
        assert_eq!(pairs(&edited), all, "{name}");
    }
}

/// Another network of existing machines, with the addresses in it.
fn readdressed() -> String {
    edit(
        TWO_DATACENTERS,
        &[
            ("10.60.0.0/16", "10.61.0.0/16"),
            ("10.60.0.4", "10.61.0.4"),
            ("10.60.1.5", "10.61.1.5"),
            ("10.60.1.6", "10.61.1.6"),
        ],
    )
}

fn readdress(deployment: &Deployment) {
    deployment.sandbox.change(|state, _| {
        let addresses = [
            ("attic-router", [10, 61, 0, 4]),
            ("attic-a", [10, 61, 1, 5]),
            ("attic-b", [10, 61, 1, 6]),
        ];
        for (name, address) in addresses {
            state.hosts.get_mut(name).unwrap().ip = address.into();
        }
    });
}

/// The machines have their new addresses only in the file: nothing is cut, and the apply says
/// which host did not answer.
#[tokio::test(start_paused = true)]
async fn a_network_is_not_cut_for_machines_that_do_not_answer_in_the_new_one() {
    let deployment = applied(TWO_DATACENTERS, 16).await;
    let all = pairs(&deployment);
    let edited = deployment.edited(&readdressed());
    let plan = edited.plan().await;
    let mut codes = plan.blocked.iter().map(|it| it.failure.code);
    assert!(codes.any(|code| code == Code::RouterAddress), "{}", summary(&plan));
    let refused = edited.apply(&allowing_loss()).await;
    assert_eq!((refused.status, refused.changes_made), (ApplyStatus::Blocked, 0));
    assert_eq!(pairs(&edited), all, "{}", summary(&plan));
    // The router alone has its new address.
    edited.sandbox.change(|state, _| {
        state.hosts.get_mut("attic-router").unwrap().ip = [10, 61, 0, 4].into();
    });
    for _ in 0..2 {
        let failed = edited.apply(&allowing_loss()).await;
        let text = failures(&failed).join("\n");
        assert!(text.contains("its new host was probed first"), "{text}");
    }
    readdress(&edited);
    apply_to_the_end(&edited, "the machines have their new addresses").await;
    assert_eq!(pairs(&edited), all);
}

/// The machines have their new addresses already.
#[tokio::test(start_paused = true)]
async fn a_network_with_its_machines_is_readdressed_in_one_apply() {
    let deployment = applied(TWO_DATACENTERS, 17).await;
    let all = pairs(&deployment);
    let edited = deployment.edited(&readdressed());
    readdress(&edited);
    apply_to_the_end(&edited, "readdressed").await;
    assert_eq!(pairs(&edited), all);
}

/// One worker's address is edited before its machine has it.
#[tokio::test(start_paused = true)]
async fn one_worker_is_not_cut_for_an_address_that_does_not_answer() {
    let deployment = applied(TWO_DATACENTERS, 18).await;
    let all = pairs(&deployment);
    let edited = deployment.edited(&edit(TWO_DATACENTERS, &[("10.60.1.5", "10.60.1.9")]));
    edited.apply(&allowing_loss()).await;
    assert_eq!(pairs(&edited), all);
}

/// A service cannot be read while a router or a worker gets another name: nothing that this
/// service would show is deleted, and no machine is created that could not serve.
#[tokio::test(start_paused = true)]
async fn a_rename_waits_for_a_service_that_cannot_be_read() {
    for source in ["kubernetes", "tailscale"] {
        for (from, to) in [
            ("\"cloud-router\"", "\"cloud-gate\""),
            ("\"lab-router\"", "\"lab-gate\""),
            ("\"cloud-b\"", "\"cloud-x\""),
            ("datacenters.cloud", "datacenters.sky"),
        ] {
            let name = format!("{source}: {from} {to}");
            let deployment = applied(TWO_DATACENTERS, 19).await;
            let all = pairs(&deployment);
            let edited = deployment.edited(&edit(TWO_DATACENTERS, &[(from, to)]));
            edited.inject("source-down".parse().unwrap(), Some(source));
            let observer = Observer::of(&edited);
            let is_worker = from == "\"cloud-b\"" && source == "tailscale";
            edited.apply(&allowing_loss()).await;
            let machines: Vec<String> = observer
                .calls()
                .into_iter()
                .filter(|call| {
                    call.contains("virtualMachines") || call.contains("publicIPAddresses")
                })
                .collect();
            assert!(is_worker || machines.is_empty(), "{name}: {machines:#?}");
            edited.sandbox.set_fault_injector(None);
            edited.inject("source-down".parse().unwrap(), Some("none"));
            assert!(is_worker || pairs(&edited) == all, "{name}: {}", pairs(&edited));
            apply_to_the_end(&edited, &name).await;
            assert_eq!(pairs(&edited), all, "{name}");
        }
    }
}

/// The router of the place that workers leave does not answer: nothing is bought for them
/// elsewhere, and nothing is done that could not work.
#[tokio::test(start_paused = true)]
async fn a_worker_does_not_move_away_from_a_site_that_is_down() {
    let renamed = |from: &str, to: &str| edit(TWO_DATACENTERS, &[(from, to)]);
    for (router, name, text) in [
        ("attic-router", "attic-a to cloud", attic_a_to_cloud()),
        ("cloud-router", "cloud-b to attic", cloud_b_to_attic()),
        ("attic-router", "another name of attic", renamed("datacenters.attic", "datacenters.loft")),
        ("cloud-router", "another name of cloud", renamed("datacenters.cloud", "datacenters.sky")),
    ] {
        let deployment = applied(TWO_DATACENTERS, 20).await;
        let all = pairs(&deployment);
        deployment.inject("router-offline".parse().unwrap(), Some(router));
        let edited = deployment.edited(&text);
        let observer = Observer::of(&edited);
        let failed = edited.apply(&allowing_loss()).await;
        let is_done = |call: &String| {
            ["virtualMachines", "networkInterfaces", "reset on", "/nodes/"]
                .iter()
                .any(|part| call.contains(part))
        };
        let done: Vec<String> = observer.calls().into_iter().filter(is_done).collect();
        assert!(done.is_empty(), "{name}: {done:#?}\n{}", failures(&failed).join("\n"));
        edited.sandbox.set_fault_injector(None);
        edited.sandbox.change(|state, _| {
            state.hosts.get_mut(router).unwrap().powered_on = true;
        });
        apply_to_the_end(&edited, name).await;
        assert_eq!(pairs(&edited), all, "{name}");
    }
}
