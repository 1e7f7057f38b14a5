//! From bare hosts to the target state, and nothing to do after that.

use super::harness::{Look, told};
use super::lab::{Lab, ROUTER, WORKERS};
use super::namespaces::alone;
use super::network;

/// Applies, and makes sure that nothing is left to do, however closely looked at.
pub(crate) async fn converge(lab: &Lab) {
    lab.deployment.converge().await;
    let plan = lab.deployment.look(&Look::deep()).await.plan;
    assert!(plan.is_empty(), "{}", told(&plan));
}

#[test]
#[ignore = "needs root: cargo test --test lab -- --ignored"]
fn bare_hosts_become_a_datacenter() {
    alone("apply::bare_hosts_become_a_datacenter", async |lab| {
        for (_, address, pod) in WORKERS {
            assert!(!network::answers_operator(address), "a worker is reached by no other way");
            assert!(!network::answers_from_far(pod));
        }
        converge(lab).await;
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
        converge(lab).await;
        assert_eq!(lab.done(), Vec::<String>::new());
        assert_eq!((look(lab), lab.deployment.writes()), (before, writes));
    });
}
