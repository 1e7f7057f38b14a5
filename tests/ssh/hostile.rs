//! Hosts with invalid or malicious responses: refused with a clear error for that host alone, and
//! no control character reaches the terminal.

use super::apply::iterate;
use super::connections::{FAULTY, assert_only_healthy_is_repaired};
use super::lab::Lab;
use super::namespaces::run_isolated;

/// Makes sshd answer every command with the output of this one.
fn respond_with(lab: &mut Lab, command: &str) {
    let script = format!(
        "cp /etc/ssh/lab_config /etc/ssh/lab_config.before
         printf '%s\\n' '#!/bin/sh' {command:?} >/etc/ssh/answer; chmod 0755 /etc/ssh/answer
         printf '\\nForceCommand /etc/ssh/answer\\n' >>/etc/ssh/lab_config; kill -HUP 1"
    );
    lab.machines.sh(FAULTY, &script);
    lab.connect_as("key");
}

async fn respond_normally(lab: &mut Lab) {
    lab.machines.sh(FAULTY, "mv /etc/ssh/lab_config.before /etc/ssh/lab_config; kill -HUP 1");
    lab.connect_as("key");
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn invalid_probe_output_is_refused() {
    run_isolated(async |lab| {
        iterate(lab).await;
        for (command, why) in [
            ("head -c 100000000 /dev/zero", "printed more than"),
            ("echo '{\"stargate-probe\":1,'", "probe the worker failed"),
            ("printf '\\033[2J\\033]0;mine\\007'", "probe the worker failed"),
            ("printf '\\033[2Jno\\n' >&2; exit 3", "exit status 3"),
        ] {
            respond_with(lab, command);
            assert_only_healthy_is_repaired(lab, &[why], respond_normally).await;
        }
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_worker_with_another_host_name_is_not_changed() {
    run_isolated(async |lab| {
        iterate(lab).await;
        for (name, rendered) in [("attic-b", "attic-b"), ("\u{1b}[2Jattic-a", "attic-a")] {
            lab.machines.sh(FAULTY, &format!("printf '{name}' >/proc/sys/kernel/hostname"));
            let why = ["has the name", rendered];
            assert_only_healthy_is_repaired(lab, &why, async |lab| {
                lab.machines.sh(FAULTY, &format!("hostname {FAULTY}"));
            })
            .await;
        }
    });
}
