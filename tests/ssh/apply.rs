//! An apply turns bare hosts into the target state, after which no changes are left.

use super::harness::{RefreshOptions, summary};
use super::lab::{Lab, ROUTER, WORKERS};
use super::namespaces::run_isolated;
use super::network;

/// Applies, and asserts that even a deep refresh shows no changes.
pub(crate) async fn iterate(lab: &Lab) {
    lab.deployment.iterate().await;
    let plan = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn bare_hosts_become_a_datacenter() {
    run_isolated(async |lab| {
        for (_, address, pod) in WORKERS {
            assert!(
                !network::reachable_by_operator(address),
                "a worker is reached by no other way"
            );
            assert!(!network::reachable_from_far(pod));
        }
        iterate(lab).await;
        for (worker, address, pod) in WORKERS {
            assert!(network::reachable_from_far(pod), "{worker}");
            assert!(!network::reachable_by_operator(address));
        }
        // A second apply has nothing to do and writes nothing.
        let files = "cd /etc && find . -newer /etc/lab-installed ! -type d -printf '%p %T@\n'";
        let snapshot = |lab: &Lab| -> Vec<String> {
            [ROUTER, WORKERS[0].0, WORKERS[1].0]
                .map(|host| lab.machines.sh(host, &format!("{files}; ip route show table all")))
                .to_vec()
        };
        let (before, writes) = (snapshot(lab), lab.deployment.writes());
        lab.done();
        iterate(lab).await;
        assert_eq!(lab.done(), Vec::<String>::new());
        assert_eq!((snapshot(lab), lab.deployment.writes()), (before, writes));
    });
}
