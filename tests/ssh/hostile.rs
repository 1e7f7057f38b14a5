//! Hosts that answer with what no host should: refused with a clear word, for
//! that host alone, and nothing of it reaches the terminal.

use super::apply::iterate;
use super::connections::{SICK, only_the_well_one_is_mended};
use super::lab::Lab;
use super::namespaces::alone;

/// Whatever is asked of it, sshd answers with what this prints.
fn answer_with(lab: &mut Lab, command: &str) {
    let script = format!(
        "cp /etc/ssh/lab_config /etc/ssh/lab_config.before
         printf '%s\\n' '#!/bin/sh' {command:?} >/etc/ssh/answer; chmod 0755 /etc/ssh/answer
         printf '\\nForceCommand /etc/ssh/answer\\n' >>/etc/ssh/lab_config; kill -HUP 1"
    );
    lab.machines.sh(SICK, &script);
    lab.connect_as("key");
}

async fn answer_as_before(lab: &mut Lab) {
    lab.machines.sh(SICK, "mv /etc/ssh/lab_config.before /etc/ssh/lab_config; kill -HUP 1");
    lab.connect_as("key");
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn answers_that_are_none_are_refused() {
    alone("hostile::answers_that_are_none_are_refused", async |lab| {
        iterate(lab).await;
        for (command, why) in [
            ("head -c 100000000 /dev/zero", "printed more than"),
            ("echo '{\"stargate-probe\":1,'", "look at the worker failed"),
            ("printf '\\033[2J\\033]0;mine\\007'", "look at the worker failed"),
            ("printf '\\033[2Jno\\n' >&2; exit 3", "exit status 3"),
        ] {
            answer_with(lab, command);
            only_the_well_one_is_mended(lab, &[why], answer_as_before).await;
        }
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_worker_that_calls_itself_another_one_is_left_alone() {
    alone("hostile::a_worker_that_calls_itself_another_one_is_left_alone", async |lab| {
        iterate(lab).await;
        for (name, shown) in [("attic-b", "attic-b"), ("\u{1b}[2Jattic-a", "attic-a")] {
            lab.machines.sh(SICK, &format!("printf '{name}' >/proc/sys/kernel/hostname"));
            let why = ["calls itself", shown];
            only_the_well_one_is_mended(lab, &why, async |lab| {
                lab.machines.sh(SICK, &format!("hostname {SICK}"));
            })
            .await;
        }
    });
}
