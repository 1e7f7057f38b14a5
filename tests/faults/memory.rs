//! How much memory huge answers take: measured in a process of its own, by the
//! kernel's own figure of its peak.

use std::process::Command;
use std::time::Duration;

use stargate::provider::http::Api;
use stargate::provider::settings::ClientSettings;
use stargate::topology::load::load_text;

use crate::deployment::one_worker_more;
use crate::fault::Fault;
use crate::sockets::behind_sockets;

/// The additional memory that a command may take, in KiB.
const MAX_ADDITIONAL: u64 = 300 << 10;
/// Tells the child which command, which service and which fault.
const CASE: &str = "STARGATE_FAULTS_MEMORY_CASE";

const COMMANDS: [&str; 3] = ["plan", "apply", "destroy"];

const KINDS: [Fault; 7] = [
    Fault::HugeBody,
    Fault::GzipBomb,
    Fault::ManyTinyValues,
    Fault::EndlessPages,
    Fault::EndlessPagesOfTheSame,
    Fault::PagesInACircle,
    Fault::DeeplyNested,
];

#[test]
fn huge_answers_take_a_bounded_amount_of_memory() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for (command, api, fault) in cases() {
        let case = format!("{command} {api} {fault:?}");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::one_command", "--ignored", "--nocapture"])
            .env(CASE, &case)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{case}: {output}");
        let taken = output.lines().find_map(|line| line.split_once("additional KiB: "));
        let taken: u64 =
            taken.unwrap_or_else(|| panic!("{case}: {output}")).1.trim().parse().unwrap();
        println!("{case}: {} MiB", taken >> 10);
        assert!(taken <= MAX_ADDITIONAL, "{case}: {} MiB", taken >> 10);
    }
}

/// Every case, or the plan with answers of Azure that are large.
fn cases() -> impl Iterator<Item = (&'static str, Api, Fault)> {
    let of_command =
        |command| Api::ALL.into_iter().flat_map(move |api| KINDS.map(|it| (command, api, it)));
    let is_chosen = |command: &str, api: Api, fault: Fault| {
        crate::everything()
            || (command == "plan" && api == Api::Azure && KINDS[..3].contains(&fault))
    };
    let all = COMMANDS.into_iter().flat_map(of_command);
    all.filter(move |(command, api, fault)| {
        fault.applies_to(*api) && is_chosen(command, *api, *fault)
    })
}

/// The child: one command with one fault, with the shipped limits. A plan meets it from
/// its first request on; an apply and a destroy after their plan was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the test above runs it in a process of its own"]
async fn one_command() {
    let Ok(case) = std::env::var(CASE) else { return };
    let words: Vec<&str> = case.split(' ').collect();
    let [command, api, kind] = words[..] else { panic!("{case}") };
    let api = Api::ALL.into_iter().find(|it| it.to_string() == api).unwrap();
    let fault = KINDS.into_iter().find(|it| format!("{it:?}") == kind).unwrap();
    let settings =
        ClientSettings { call_timeout: Duration::from_secs(20), ..ClientSettings::default() };
    let mut deployment = behind_sockets(settings).await;
    if command == "apply" {
        deployment.topology = load_text("stargate.toml", &one_worker_more()).unwrap().topology;
    }
    let destroys = command == "destroy";
    let planned = deployment.plan(destroys).await;
    let before = kib("VmRSS:");
    deployment.proxy.arm(api, fault);
    if command == "plan" {
        assert!(!deployment.plan(false).await.plan.gaps.is_empty());
    } else {
        assert!(!planned.plan.changes.is_empty());
        deployment.apply(destroys, planned).await;
    }
    assert!(deployment.proxy.struck() > 0);
    println!("\nadditional KiB: {}", kib("VmHWM:").saturating_sub(before));
}

/// A figure of this process, as the kernel tells it.
fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
