//! Objects that others delete while an apply runs.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::{Code, Failure};
use stargate::resource::ArmId;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::kubernetes::ObjectIdentity;
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::{Deployment, RefreshOptions, failures};
use crate::lease::{Other, VALID, WaitLog, with_work};
use crate::refused_calls::is_request;

/// A route table that the first apply creates under its Lease.
const TABLE: &str = "route-table/dc1/stargate-aks-e2e-2-dc-route-table";
/// A resource that the first apply creates later.
const LATER: &str = "cilium-node/dc1/stargate-aks-e2e-2-worker-2";
const PROFILE: &str = "provisioning-profile/cluster/azure-k8s-worker";

/// The deletion of an object by another program.
type Delete = fn(&mut SandboxState, Timestamp);

/// Deletes an object as another program does, and records warnings.
struct Policy {
    sandbox: SharedSandbox,
    delete: Delete,
    /// After the end of which resources it deletes.
    after: Mutex<Vec<&'static str>>,
    warnings: Mutex<Vec<Failure>>,
}

impl Reporter for Policy {
    fn event(&self, event: &Event) {
        match event {
            Event::Warning(failure) => self.warnings.lock().unwrap().push(failure.clone()),
            Event::StepFinished { address, outcome: Outcome::Done, .. } => {
                let mut after = self.after.lock().unwrap();
                if after.first().is_some_and(|name| address.to_string() == *name) {
                    after.remove(0);
                    self.sandbox.change(self.delete);
                }
            }
            _ => {}
        }
    }
}

fn delete_table(sandbox: &mut SandboxState, _: Timestamp) {
    let tables = sandbox.arm.list("Microsoft.Network/routeTables");
    let ids: Vec<ArmId> = tables.map(|(id, _)| id.clone()).collect();
    let id = ids.into_iter().find(|id| TABLE.ends_with(&format!("/{}", id.name()))).unwrap();
    sandbox.arm.remove(&id, &mut || "none".to_owned());
}

fn delete_object(sandbox: &mut SandboxState, now: Timestamp, identity: &ObjectIdentity<'_>) {
    let is_deleted = sandbox.kubernetes.as_mut().unwrap().delete(identity, &now.to_string());
    assert!(is_deleted, "{identity:?}");
}

/// Deletes an object of the namespace `stargate`.
fn delete_own(sandbox: &mut SandboxState, now: Timestamp, (kind, name): (&str, &str)) {
    let (api_version, namespace) = ("stargate.io/v1alpha1", Some("stargate"));
    delete_object(sandbox, now, &ObjectIdentity { api_version, kind, namespace, name });
}

fn delete_server(sandbox: &mut SandboxState, now: Timestamp) {
    delete_own(sandbox, now, ("Server", "stargate-aks-e2e-2-worker-1"));
}

fn delete_profile(sandbox: &mut SandboxState, now: Timestamp) {
    delete_own(sandbox, now, ("ProvisioningProfile", "azure-k8s-worker"));
}

fn delete_goldpinger(sandbox: &mut SandboxState, now: Timestamp) {
    let store = sandbox.kubernetes.as_mut().unwrap();
    let all = store.list("apps/v1", "DaemonSet", None);
    let found = all.iter().find(|it| it["metadata"]["name"] == "goldpinger").unwrap();
    let namespace = found["metadata"]["namespace"].as_str().unwrap().to_owned();
    let identity = ObjectIdentity {
        api_version: "apps/v1",
        kind: "DaemonSet",
        namespace: Some(&namespace),
        name: "goldpinger",
    };
    delete_object(sandbox, now, &identity);
}

/// The first apply of the example, and its warnings.
async fn applied(deployment: &Deployment, after: &[&'static str]) -> (Applied, Vec<Failure>) {
    applied_beside(deployment, delete_table, after).await
}

async fn applied_beside(
    deployment: &Deployment,
    delete: Delete,
    after: &[&'static str],
) -> (Applied, Vec<Failure>) {
    let policy = Policy {
        delete,
        sandbox: deployment.sandbox.clone(),
        after: Mutex::new(after.to_vec()),
        warnings: Mutex::default(),
    };
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let applied = deployment.apply_planned(&options, planned, &policy).await;
    assert!(policy.after.into_inner().unwrap().is_empty(), "{:?}", applied.status);
    (applied, policy.warnings.into_inner().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_once_more_what_others_deleted() {
    let deployment = Deployment::example();
    let (applied, warnings) = applied(&deployment, &[LATER]).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains(TABLE), "{:?}", warnings[0]);
    assert!(deployment.plan().await.is_empty());
}

/// The same of objects in the cluster.
#[tokio::test(start_paused = true)]
async fn an_apply_creates_once_more_what_others_deleted_in_the_cluster() {
    let cases: [(Delete, &[&'static str], &str); 4] = [
        (delete_server, &[LATER], "server/dc1/stargate-aks-e2e-2-worker-1"),
        (delete_profile, &[LATER], "provisioning-profile/cluster/azure-k8s-worker"),
        (delete_profile, &[PROFILE], "provisioning-profile/cluster/azure-k8s-worker"),
        (delete_goldpinger, &[LATER], "goldpinger"),
    ];
    for (delete, after, name) in cases {
        let deployment = Deployment::example();
        let (applied, warnings) = applied_beside(&deployment, delete, after).await;
        let report = format!("{name}\n{}", failures(&applied).join("\n"));
        assert_eq!(applied.status, ApplyStatus::Converged, "{report}");
        assert_eq!(warnings.len(), 1, "{report}\n{warnings:?}");
        assert_eq!(warnings[0].code, Code::DeletedByOthers);
        assert!(warnings[0].message.contains(name), "{:?}", warnings[0]);
        assert!(deployment.plan().await.is_empty());
    }
    // A program that deletes it again stops the apply.
    let deployment = Deployment::example();
    let after = [LATER, "server/dc1/stargate-aks-e2e-2-worker-1"];
    let (applied, warnings) = applied_beside(&deployment, delete_server, &after).await;
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!((failure.code, warnings.len()), (Code::DeletedByOthers, 1), "{failure:?}");
}

/// The same if steps that need it fail before the next plan.
#[tokio::test(start_paused = true)]
async fn an_apply_continues_after_steps_that_others_made_fail() {
    let deployment = Deployment::example();
    let (applied, warnings) = applied(&deployment, &[TABLE]).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(deployment.plan().await.is_empty());
}

/// It does not fight with a program that deletes it again, and without a Lease a destroy may
/// run.
#[tokio::test(start_paused = true)]
async fn an_apply_ends_if_others_delete_again_or_a_destroy_may_run() {
    let cases = [
        (Deployment::example(), &[LATER, TABLE][..], 1),
        (Deployment::example().without_lease(), &[LATER][..], 0),
    ];
    for (deployment, after, recreations) in cases {
        let (applied, warnings) = applied(&deployment, after).await;
        let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
        assert_eq!(failure.code, Code::DeletedByOthers);
        assert!(failure.message.contains(TABLE), "{failure:?}");
        assert!(failure.remedy.contains("a policy"), "{failure:?}");
        assert_eq!(warnings.len(), recreations, "{warnings:?}");
    }
}

/// A destroy that renewed its Lease while the apply waited may have deleted objects before it was
/// killed: nothing is created again. One that was killed before has deleted nothing since.
#[tokio::test(start_paused = true)]
async fn an_apply_recreates_nothing_after_a_destroy_that_was_killed() {
    for is_renewed in [false, true] {
        let deployment = with_work().await;
        let other = Other::of(&deployment).await;
        other.hold_for_destroy("killed destroy").await;
        let options = RefreshOptions::default();
        let planned = deployment.refresh_and_plan(&options).await;
        let renewing = async {
            if is_renewed {
                tokio::time::sleep(VALID / 3).await;
                other.hold_for_destroy("killed destroy").await;
            }
        };
        let log = WaitLog::default();
        let applying = deployment.apply_planned(&options, planned, &log);
        let (applied, ()) = tokio::join!(applying, renewing);
        match &applied.status {
            ApplyStatus::Converged => assert!(!is_renewed),
            ApplyStatus::Overtaken(failure) => {
                assert!(is_renewed, "{failure:?}");
                assert!(failure.message.contains("was killed"), "{failure:?}");
                assert_eq!(applied.changes_made, 0);
                assert_eq!(other.read().await, None, "the lease is released");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Deletes a Node after its first write, which is that of its pod CIDR.
#[derive(Debug)]
struct NodeDeletion {
    sandbox: SharedSandbox,
    writes: Mutex<u32>,
}

const WORKER: &str = "stargate-aks-e2e-2-worker-1";

impl FaultInjector for NodeDeletion {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        let is_write = call.writes() && is_request(call, &format!("/nodes/{WORKER}"));
        let mut writes = self.writes.lock().unwrap();
        *writes += u32::from(is_write);
        if is_write && *writes == 1 {
            let (api_version, kind, name) = ("v1", "Node", WORKER);
            self.sandbox.change(|sandbox, now| {
                delete_object(
                    sandbox,
                    now,
                    &ObjectIdentity { api_version, kind, namespace: None, name },
                );
            });
        }
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_says_that_its_node_was_deleted() {
    let deployment = Deployment::example();
    let deletion = NodeDeletion { sandbox: deployment.sandbox.clone(), writes: Mutex::default() };
    deployment.sandbox.set_fault_injector(Some(Arc::new(deletion)));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    let failed = applied.outcomes.values().find_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    });
    let failure = failed.unwrap_or_else(|| panic!("{:?}", failures(&applied)));
    assert_eq!(failure.code, Code::StepNotVerified, "{failure:?}");
    let message = "its Node was deleted while the worker joined";
    assert!(failure.message.contains(message), "{failure:?}");
    assert!(failure.remedy.contains("audit log"), "{failure:?}");
    deployment.sandbox.set_fault_injector(None);
    deployment.iterate().await;
}
