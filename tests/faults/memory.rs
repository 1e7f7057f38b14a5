//! How much memory huge answers take: measured in a process of its own, by the
//! kernel's own figure of its peak.

use std::process::Command;
use std::time::Duration;

use stargate::provider::http::Api;
use stargate::provider::settings::ClientSettings;

use crate::fault::Fault;
use crate::sockets::behind_sockets;

/// What a plan may take beside what it takes anyway, in KiB.
const MAX_ADDITIONAL: u64 = 300 << 10;
/// Tells the child which service and which fault.
const CASE: &str = "STARGATE_FAULTS_MEMORY_CASE";

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
    let cases = Api::ALL.into_iter().flat_map(|api| KINDS.map(|fault| (api, fault)));
    let cases = cases.filter(|(api, fault)| fault.applies_to(*api));
    let chosen = |api: Api, fault: Fault| {
        crate::everything() || (api == Api::Azure && KINDS[..3].contains(&fault))
    };
    for (api, fault) in cases.filter(|(api, fault)| chosen(*api, *fault)) {
        let case = format!("{api} {fault:?}");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::one_plan", "--ignored", "--nocapture"])
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

/// The child: one plan with one fault, with the shipped limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the test above runs it in a process of its own"]
async fn one_plan() {
    let Ok(case) = std::env::var(CASE) else { return };
    let (api, kind) = case.split_once(' ').unwrap();
    let api = Api::ALL.into_iter().find(|it| it.to_string() == api).unwrap();
    let fault = KINDS.into_iter().find(|it| format!("{it:?}") == kind).unwrap();
    let settings =
        ClientSettings { call_timeout: Duration::from_secs(20), ..ClientSettings::default() };
    let deployment = behind_sockets(settings).await;
    deployment.plan(false).await;
    let before = kib("VmRSS:");
    deployment.proxy.arm(api, fault);
    let plan = deployment.plan(false).await.plan;
    assert!(!plan.gaps.is_empty());
    println!("\nadditional KiB: {}", kib("VmHWM:").saturating_sub(before));
}

/// A figure of this process, as the kernel tells it.
fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
