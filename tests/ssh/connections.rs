//! Hosts that cannot be trusted or reached, or that fail during the work: a clear error for that
//! host, and the work on other hosts continues.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use stargate::apply::ApplyStatus;
use stargate::inventory::Source;
use stargate::plan::Plan;

use super::apply::iterate;
use super::harness::{RefreshOptions, failures, summary};
use super::lab::{Lab, Machines, WORKERS};
use super::machine::run;
use super::namespaces::run_isolated;

pub(crate) const FAULTY: &str = WORKERS[0].0;
const HEALTHY: &str = WORKERS[1].0;
/// Creates a new host key, which sshd loads at once.
const CHANGE_KEY: &str = "rm /etc/ssh/lab_host_key*
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/lab_host_key; kill -HUP 1";
const FINGERPRINT: &str = "ssh-keygen -lf /etc/ssh/lab_host_key | cut -d' ' -f2";
/// Rejects all connections to sshd, and resets the established ones.
const REJECT_SSH: &str = "nft -f - <<END
    table inet cut
    delete table inet cut
    table inet cut {
      chain in {
        type filter hook input priority -300;
        tcp dport 22 reject with tcp reset
      }
    }
END";
const ALLOW_SSH: &str = "nft delete table inet cut 2>/dev/null || true";
/// Drops all packets to sshd without a reply.
const DROP_SSH: &str = "nft -f - <<END
    table inet cut
    delete table inet cut
    table inet cut {
      chain in {
        type filter hook input priority -300;
        tcp dport 22 drop
      }
    }
END";

/// The errors of a refresh, by host.
fn gaps(plan: &Plan) -> Vec<(String, String)> {
    let of_host = |gap: &stargate::inventory::Gap| match &gap.source {
        Source::Host(name) => {
            Some((name.clone(), format!("{}; {}", gap.failure.message, gap.failure.remedy)))
        }
        _ => None,
    };
    plan.gaps.iter().filter_map(of_host).collect()
}

/// Breaks both workers, applies, and asserts that only the healthy one is repaired while the faulty
/// one fails with the given reason; then that the next apply repairs the faulty one once it is
/// healthy again.
pub(crate) async fn assert_only_healthy_is_repaired(
    lab: &mut Lab,
    why: &[&str],
    heal: impl AsyncFnOnce(&mut Lab),
) {
    const DELETE_CNI_FILE: &str = "rm -f /etc/cni/net.d/00-stargate.conflist";
    for (worker, ..) in WORKERS {
        lab.machines.sh(worker, DELETE_CNI_FILE);
    }
    let plan = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    let gaps = gaps(&plan);
    let [(host, reason)] = gaps.as_slice() else { panic!("{why:?}: {}", summary(&plan)) };
    assert_eq!(host, FAULTY);
    for word in why {
        assert!(reason.contains(word), "{word} is not in: {reason}");
    }
    assert!(!reason.contains('\u{1b}'));
    let applied = lab.deployment.apply(&RefreshOptions::deep()).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    let here = "test -e /etc/cni/net.d/00-stargate.conflist";
    let well = lab.machines.all()[HEALTHY].try_sh(here);
    assert!(
        well.is_ok(),
        "{:?} {:?} {:?}\n{}",
        applied.status,
        applied.outcomes,
        lab.done(),
        summary(&plan)
    );
    assert!(lab.machines.all()[FAULTY].try_sh(here).is_err());
    heal(lab).await;
    let applied = lab.deployment.apply(&RefreshOptions::deep()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
    lab.machines.sh(FAULTY, here);
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn an_untrusted_host_key_fails_only_that_host() {
    run_isolated(async |lab| {
        iterate(lab).await;
        let known = fs::read_to_string(lab.known_hosts()).unwrap();
        let before = lab.machines.sh(FAULTY, FINGERPRINT);
        lab.machines.sh(FAULTY, CHANGE_KEY);
        let after = lab.machines.sh(FAULTY, FINGERPRINT);
        lab.connect_as("key");
        let why = ["has changed", before.trim(), after.trim(), "correct", "known_hosts line"];
        assert_only_healthy_is_repaired(lab, &why, async |lab| {
            let kept: Vec<&str> = known.lines().filter(|line| !line.starts_with(FAULTY)).collect();
            fs::write(lab.known_hosts(), kept.join("\n") + "\n").unwrap();
            lab.connect_as("key");
        })
        .await;
        // An unknown host key, while known_hosts must have one.
        let known = fs::read_to_string(lab.known_hosts()).unwrap();
        let kept: Vec<&str> = known.lines().filter(|line| !line.starts_with(FAULTY)).collect();
        fs::write(lab.known_hosts(), kept.join("\n") + "\n").unwrap();
        lab.edit_topology("accept-new", "known-hosts");
        let why = ["is unknown", after.trim()];
        assert_only_healthy_is_repaired(lab, &why, async |lab| {
            fs::write(lab.known_hosts(), &known).unwrap();
            lab.connect_as("key");
        })
        .await;
        // A revoked key is refused even if other lines allow it.
        let line = known.lines().find(|line| line.starts_with(FAULTY)).unwrap();
        let key = line.split_once(' ').unwrap().1;
        fs::write(lab.known_hosts(), format!("{known}@revoked * {key}\n")).unwrap();
        lab.connect_as("key");
        let why = ["is revoked", after.trim()];
        assert_only_healthy_is_repaired(lab, &why, async |lab| {
            fs::write(lab.known_hosts(), &known).unwrap();
            lab.connect_as("key");
        })
        .await;
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_host_that_hangs_times_out() {
    run_isolated(async |lab| {
        iterate(lab).await;
        // During connect: no reply.
        lab.machines.sh(FAULTY, DROP_SSH);
        lab.connect_as("key");
        assert_only_healthy_is_repaired(lab, &["cannot reach"], async |lab| {
            lab.machines.sh(FAULTY, ALLOW_SSH);
        })
        .await;
        // During login: sshd never finishes the key lookup.
        lab.machines.sh(
            FAULTY,
            "printf '#!/bin/sh\nexec /bin/sleep 600\n' >/etc/ssh/think; chmod 0755 /etc/ssh/think
             cp /etc/ssh/lab_config /etc/ssh/lab_config.before
             printf 'AuthorizedKeysCommand /etc/ssh/think\nAuthorizedKeysCommandUser root\n\
                 AuthorizedKeysFile none\n' | cat - /etc/ssh/lab_config.before >/etc/ssh/lab_config
             kill -HUP 1",
        );
        lab.connect_as("key");
        assert_only_healthy_is_repaired(lab, &["10.60.1.5"], async |lab| {
            lab.machines
                .sh(FAULTY, "mv /etc/ssh/lab_config.before /etc/ssh/lab_config; kill -HUP 1");
            lab.connect_as("key");
        })
        .await;
        // During a command: sshd is stopped.
        lab.machines.sh(
            FAULTY,
            "mv /run/stand-ins/bin/systemctl /run/stand-ins/systemctl
             printf '#!/bin/sh\npkill -STOP -P 1 sshd\nexec /bin/sleep 600\n' \
                 >/run/stand-ins/bin/systemctl
             chmod 0755 /run/stand-ins/bin/systemctl",
        );
        assert_only_healthy_is_repaired(lab, &["lost the connection"], async |lab| {
            lab.machines.sh(
                FAULTY,
                "mv /run/stand-ins/systemctl /run/stand-ins/bin/systemctl
                 pkill -KILL -P 1 sshd || true; pkill -KILL sleep || true",
            );
            lab.connect_as("key");
        })
        .await;
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn an_unknown_login_key_is_reported() {
    run_isolated(async |lab| {
        iterate(lab).await;
        let other = lab.file("other");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()]);
        lab.connect_as("other");
        let plan = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        let gaps = gaps(&plan);
        assert!(!gaps.is_empty(), "{}", summary(&plan));
        for (host, reason) in &gaps {
            assert!(reason.contains("authorized_keys"), "{host}: {reason}");
        }
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
    });
}

/// Cuts off a host right before the first step that was not let through yet, and records the step.
fn cut_at_next_step(machines: &Machines, passed: &Mutex<BTreeSet<String>>, activity: &str) -> bool {
    if activity == "probe" || !passed.lock().unwrap().insert(activity.to_owned()) {
        return false;
    }
    machines.sh(FAULTY, REJECT_SSH);
    true
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_join_resumes_after_a_failure_at_any_step() {
    run_isolated(async |lab| {
        let passed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let cut = Arc::new(Mutex::new(Vec::new()));
        let mut done: Vec<String> = Vec::new();
        for round in 0..30 {
            let (passed, now) = (Arc::clone(&passed), Arc::clone(&cut));
            let this_round = Mutex::new(false);
            lab.set_before_work(Some(Box::new(move |machines, host, activity| {
                let mut this_round = this_round.lock().unwrap();
                if host == FAULTY && !*this_round && cut_at_next_step(machines, &passed, activity) {
                    *this_round = true;
                    now.lock().unwrap().push(activity.to_owned());
                }
            })));
            let count = cut.lock().unwrap().len();
            let applied = lab.deployment.apply(&RefreshOptions::default()).await;
            lab.set_before_work(None);
            lab.machines.sh(FAULTY, ALLOW_SSH);
            let of_sick: Vec<String> =
                lab.done().into_iter().filter(|one| one.starts_with(FAULTY)).collect();
            done.extend(of_sick);
            if cut.lock().unwrap().len() == count {
                assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
                break;
            }
            let failed = failures(&applied).join("\n");
            assert!(
                failed.contains(&format!("{FAULTY} ")) && failed.contains("10.60.1.5"),
                "{failed}"
            );
            assert!(!failed.contains(&format!("worker/attic/{HEALTHY}: Failed")), "{failed}");
            let others = lab.deployment.plan().await;
            assert!(!summary(&others).contains(HEALTHY), "round {round}: {}", summary(&others));
            assert_no_token(lab);
        }
        let cut = cut.lock().unwrap().clone();
        assert!(cut.len() >= 9, "{cut:?}");
        // Completed steps are not repeated. A token is never kept after its run, so its file is
        // written again; a step that failed may have taken effect. Whether the kubelet runs with
        // the current configuration is only known after the stamp is written, so it is started
        // again.
        let again = ["BootstrapKubeconfig", "Start"];
        for step in done.iter().collect::<BTreeSet<_>>() {
            let times = done.iter().filter(|one| *one == step).count();
            let may_be = again.iter().any(|one| step.ends_with(one));
            assert!(times == 1 || may_be, "{step} was done {times} times: {done:?}");
        }
        iterate(lab).await;
    });
}

/// No token of a join that failed or ended is left in the cluster.
fn assert_no_token(lab: &Lab) {
    let tokens = lab.deployment.sandbox.read(|sandbox| {
        let Some(store) = &sandbox.kubernetes else { return 0 };
        let secrets = store.list("v1", "Secret", Some("kube-system"));
        secrets.into_iter().filter(|it| it["type"] == "bootstrap.kubernetes.io/token").count()
    });
    assert_eq!(tokens, 0);
}
