//! Hosts that cannot be trusted or reached, or that go in the middle of the
//! work: a clear error for that host, and the others go on.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use stargate::apply::ApplyStatus;
use stargate::inventory::Source;
use stargate::plan::Plan;

use super::apply::iterate;
use super::harness::{RefreshOptions, failures, told};
use super::lab::{Lab, Machines, WORKERS};
use super::machine::run;
use super::namespaces::alone;

pub(crate) const SICK: &str = WORKERS[0].0;
const WELL: &str = WORKERS[1].0;
/// New keys for sshd, which reads them at once.
const CHANGE_KEY: &str = "rm /etc/ssh/lab_host_key*
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/lab_host_key; kill -HUP 1";
const FINGERPRINT: &str = "ssh-keygen -lf /etc/ssh/lab_host_key | cut -d' ' -f2";
/// Nobody gets through to sshd any more, and those who were there are told.
const CUT: &str = "nft -f - <<END
    table inet cut
    delete table inet cut
    table inet cut {
      chain in {
        type filter hook input priority -300;
        tcp dport 22 reject with tcp reset
      }
    }
END";
const UNCUT: &str = "nft delete table inet cut 2>/dev/null || true";
/// Nothing comes back from sshd, not even a word that it is gone.
const SWALLOW: &str = "nft -f - <<END
    table inet cut
    delete table inet cut
    table inet cut {
      chain in {
        type filter hook input priority -300;
        tcp dport 22 drop
      }
    }
END";

/// What a look at the hosts could not read, host by host.
fn gaps(plan: &Plan) -> Vec<(String, String)> {
    let of_host = |gap: &stargate::inventory::Gap| match &gap.source {
        Source::Host(name) => {
            Some((name.clone(), format!("{}; {}", gap.failure.message, gap.failure.remedy)))
        }
        _ => None,
    };
    plan.gaps.iter().filter_map(of_host).collect()
}

/// Breaks both workers, applies, and makes sure that only the well one is mended
/// while the sick one cannot be worked on, and why; then that the next apply does
/// the rest once the sick one is well again.
pub(crate) async fn only_the_well_one_is_mended(
    lab: &mut Lab,
    why: &[&str],
    heal: impl AsyncFnOnce(&mut Lab),
) {
    const BREAK: &str = "rm -f /etc/cni/net.d/00-stargate.conflist";
    for (worker, ..) in WORKERS {
        lab.machines.sh(worker, BREAK);
    }
    let plan = lab.deployment.look(&RefreshOptions::deep()).await.plan;
    let gaps = gaps(&plan);
    let [(host, reason)] = gaps.as_slice() else { panic!("{why:?}: {}", told(&plan)) };
    assert_eq!(host, SICK);
    for word in why {
        assert!(reason.contains(word), "{word} is not in: {reason}");
    }
    assert!(!reason.contains('\u{1b}'));
    let applied = lab.deployment.apply(&RefreshOptions::deep()).await;
    assert_ne!(applied.ending, ApplyStatus::Converged);
    let here = "test -e /etc/cni/net.d/00-stargate.conflist";
    let well = lab.machines.all()[WELL].try_sh(here);
    assert!(
        well.is_ok(),
        "{:?} {:?} {:?}\n{}",
        applied.ending,
        applied.outcomes,
        lab.done(),
        told(&plan)
    );
    assert!(lab.machines.all()[SICK].try_sh(here).is_err());
    heal(lab).await;
    let applied = lab.deployment.apply(&RefreshOptions::deep()).await;
    assert_eq!(applied.ending, ApplyStatus::Converged, "{:?}", failures(&applied));
    lab.machines.sh(SICK, here);
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_host_key_that_is_not_the_known_one_stops_that_host_alone() {
    alone("connections::a_host_key_that_is_not_the_known_one_stops_that_host_alone", async |lab| {
        iterate(lab).await;
        let known = fs::read_to_string(lab.known_hosts()).unwrap();
        let before = lab.machines.sh(SICK, FINGERPRINT);
        lab.machines.sh(SICK, CHANGE_KEY);
        let after = lab.machines.sh(SICK, FINGERPRINT);
        lab.connect_as("key");
        let why = ["has changed", before.trim(), after.trim(), "correct", "known_hosts line"];
        only_the_well_one_is_mended(lab, &why, async |lab| {
            let kept: Vec<&str> = known.lines().filter(|line| !line.starts_with(SICK)).collect();
            fs::write(lab.known_hosts(), kept.join("\n") + "\n").unwrap();
            lab.connect_as("key");
        })
        .await;
        // Without a word about it in known_hosts, where there must be one.
        let known = fs::read_to_string(lab.known_hosts()).unwrap();
        let kept: Vec<&str> = known.lines().filter(|line| !line.starts_with(SICK)).collect();
        fs::write(lab.known_hosts(), kept.join("\n") + "\n").unwrap();
        lab.edit_topology("accept-new", "known-hosts");
        let why = ["is not known", after.trim()];
        only_the_well_one_is_mended(lab, &why, async |lab| {
            fs::write(lab.known_hosts(), &known).unwrap();
            lab.connect_as("key");
        })
        .await;
        // Revoked, whatever else is said of it.
        let line = known.lines().find(|line| line.starts_with(SICK)).unwrap();
        let key = line.split_once(' ').unwrap().1;
        fs::write(lab.known_hosts(), format!("{known}@revoked * {key}\n")).unwrap();
        lab.connect_as("key");
        let why = ["is revoked", after.trim()];
        only_the_well_one_is_mended(lab, &why, async |lab| {
            fs::write(lab.known_hosts(), &known).unwrap();
            lab.connect_as("key");
        })
        .await;
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_host_that_hangs_is_given_up() {
    alone("connections::a_host_that_hangs_is_given_up", async |lab| {
        iterate(lab).await;
        // At connect: nothing comes back.
        lab.machines.sh(SICK, SWALLOW);
        lab.connect_as("key");
        only_the_well_one_is_mended(lab, &["cannot be reached"], async |lab| {
            lab.machines.sh(SICK, UNCUT);
        })
        .await;
        // At login: it thinks about the key for ever.
        lab.machines.sh(
            SICK,
            "printf '#!/bin/sh\nexec /bin/sleep 600\n' >/etc/ssh/think; chmod 0755 /etc/ssh/think
             cp /etc/ssh/lab_config /etc/ssh/lab_config.before
             printf 'AuthorizedKeysCommand /etc/ssh/think\nAuthorizedKeysCommandUser root\n\
                 AuthorizedKeysFile none\n' | cat - /etc/ssh/lab_config.before >/etc/ssh/lab_config
             kill -HUP 1",
        );
        lab.connect_as("key");
        only_the_well_one_is_mended(lab, &["10.60.1.5"], async |lab| {
            lab.machines.sh(SICK, "mv /etc/ssh/lab_config.before /etc/ssh/lab_config; kill -HUP 1");
            lab.connect_as("key");
        })
        .await;
        // In the middle of a command: the whole of sshd stands still.
        lab.machines.sh(
            SICK,
            "mv /run/stand-ins/bin/systemctl /run/stand-ins/systemctl
             printf '#!/bin/sh\npkill -STOP -P 1 sshd\nexec /bin/sleep 600\n' \
                 >/run/stand-ins/bin/systemctl
             chmod 0755 /run/stand-ins/bin/systemctl",
        );
        only_the_well_one_is_mended(lab, &["broke"], async |lab| {
            lab.machines.sh(
                SICK,
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
fn a_key_that_no_host_knows_is_told() {
    alone("connections::a_key_that_no_host_knows_is_told", async |lab| {
        iterate(lab).await;
        let other = lab.file("other");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()]);
        lab.connect_as("other");
        let plan = lab.deployment.look(&RefreshOptions::deep()).await.plan;
        let gaps = gaps(&plan);
        assert!(!gaps.is_empty(), "{}", told(&plan));
        for (host, reason) in &gaps {
            assert!(reason.contains("authorized_keys"), "{host}: {reason}");
        }
        assert!(plan.changes.is_empty(), "{}", told(&plan));
    });
}

/// Cuts a host off right before the first piece of work that was not let through
/// before; notes which one it was.
fn cut_at_the_next(machines: &Machines, passed: &Mutex<BTreeSet<String>>, doing: &str) -> bool {
    if doing == "probe" || !passed.lock().unwrap().insert(doing.to_owned()) {
        return false;
    }
    machines.sh(SICK, CUT);
    true
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_host_that_goes_at_every_step_in_turn_is_resumed() {
    alone("connections::a_host_that_goes_at_every_step_in_turn_is_resumed", async |lab| {
        let passed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let cut = Arc::new(Mutex::new(Vec::new()));
        let mut done: Vec<String> = Vec::new();
        for round in 0..30 {
            let (passed, now) = (Arc::clone(&passed), Arc::clone(&cut));
            let this_round = Mutex::new(false);
            lab.meanwhile(Some(Box::new(move |machines, host, doing| {
                let mut this_round = this_round.lock().unwrap();
                if host == SICK && !*this_round && cut_at_the_next(machines, &passed, doing) {
                    *this_round = true;
                    now.lock().unwrap().push(doing.to_owned());
                }
            })));
            let count = cut.lock().unwrap().len();
            let applied = lab.deployment.apply(&RefreshOptions::default()).await;
            lab.meanwhile(None);
            lab.machines.sh(SICK, UNCUT);
            let of_sick: Vec<String> =
                lab.done().into_iter().filter(|one| one.starts_with(SICK)).collect();
            done.extend(of_sick);
            if cut.lock().unwrap().len() == count {
                assert_eq!(applied.ending, ApplyStatus::Converged, "{:?}", failures(&applied));
                break;
            }
            let failed = failures(&applied).join("\n");
            assert!(
                failed.contains(&format!("{SICK} ")) && failed.contains("10.60.1.5"),
                "{failed}"
            );
            assert!(!failed.contains(&format!("worker/attic/{WELL}: Failed")), "{failed}");
            let others = lab.deployment.plan().await;
            assert!(!told(&others).contains(WELL), "round {round}: {}", told(&others));
            assert_no_token(lab);
        }
        let cut = cut.lock().unwrap().clone();
        assert!(cut.len() >= 9, "{cut:?}");
        // What was proven is not done again. A token is never kept beyond its run,
        // so that its file is written anew; what failed before may have been done.
        // Whether a kubelet runs with what lies on its disk is known only once all is
        // stamped, so that it is started again, too.
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
    let tokens = lab.deployment.world.read(|world| {
        let Some(store) = &world.kubernetes else { return 0 };
        let secrets = store.list("v1", "Secret", Some("kube-system"));
        secrets.into_iter().filter(|it| it["type"] == "bootstrap.kubernetes.io/token").count()
    });
    assert_eq!(tokens, 0);
}
