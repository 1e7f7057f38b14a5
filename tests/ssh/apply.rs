//! From bare hosts to the target state, and nothing to do after that.

use super::harness::{RefreshOptions, summary};
use super::lab::{Lab, ROUTER, WORKERS};
use super::namespaces::alone;
use super::network;

/// Applies, and makes sure that nothing is left to do, however closely looked at.
pub(crate) async fn iterate(lab: &Lab) {
    lab.deployment.iterate().await;
    let plan = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn bare_hosts_become_a_datacenter() {
    alone("apply::bare_hosts_become_a_datacenter", async |lab| {
        for (_, address, pod) in WORKERS {
            assert!(!network::answers_operator(address), "a worker is reached by no other way");
            assert!(!network::answers_from_far(pod));
        }
        iterate(lab).await;
        for (worker, address, pod) in WORKERS {
            assert!(network::answers_from_far(pod), "{worker}");
            assert!(!network::answers_operator(address));
        }
        // Nothing is left to do, so nothing is done.
        let files = "cd /etc && find . -newer /etc/lab-installed ! -type d -printf '%p %T@\n'";
        let look = |lab: &Lab| -> Vec<String> {
            [ROUTER, WORKERS[0].0, WORKERS[1].0]
                .map(|host| lab.machines.sh(host, &format!("{files}; ip route show table all")))
                .to_vec()
        };
        let (before, writes) = (look(lab), lab.deployment.writes());
        lab.done();
        iterate(lab).await;
        assert_eq!(lab.done(), Vec::<String>::new());
        assert_eq!((look(lab), lab.deployment.writes()), (before, writes));
    });
}
