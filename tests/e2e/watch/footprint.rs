//! The footprint of a watch of many workers: memory, and CPU while nothing happens.
//!
//! `cargo test --release --test e2e -- footprint --ignored --nocapture` prints the figures;
//! `STARGATE_WATCH_WORKERS` sets another number than 1,000.

use std::io::Write as _;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stargate::sandbox::SandboxState;
use stargate::watch::Trigger;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::latency::served_with;
use super::long_run::Subject;
use super::{NO_TIMER, watching};
use crate::harness::Deployment;

/// The memory that the watch may take beside the services, in KiB: 100 MB less the program itself.
const MAX_MEMORY: u64 = 85 << 10;
/// The share of a core, in percent, with a reconcile every five minutes.
const MAX_CPU: f64 = 1.0;
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);
const INTERVAL: f64 = 300.0;

/// A figure of this process, in KiB.
pub(super) fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// The CPU time of this thread, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
        .as_secs_f64()
}

/// The services of a topology that is applied.
fn applied(text: &str) -> SandboxState {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let state = runtime.block_on(async {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        deployment.copy_of_state()
    });
    // Its own copy, so that what the apply took is not reused by the watch unnoticed.
    serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap()
}

/// The services run on threads of their own, and the watch on this one.
#[test]
#[ignore = "it measures for minutes, and a release build is what counts"]
fn a_watch_of_many_workers_takes_little_memory_and_cpu() {
    let workers = std::env::var("STARGATE_WATCH_WORKERS").ok();
    let workers: u64 = workers.map_or(1_000, |text| text.parse().unwrap());
    let subject = Subject::of(Some(workers));
    let text = subject.text.replace("[watch]", &format!("[watch]\n{NO_TIMER}"));
    let state = applied(&text);
    let services = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (deployment, server) = services.block_on(served_with(&text, state));
    // The peak counts from here on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = kib("VmRSS:");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut figures = (0.0, 0.0);
    runtime.block_on(watching(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.matches();
        let begin = cpu();
        sleep(IDLE).await;
        let idle = cpu() - begin;
        let begin = cpu();
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        watch.matches();
        figures = (idle, cpu() - begin);
    }));
    let (idle, reconcile) = figures;
    let (resident, peak) =
        (kib("VmRSS:").saturating_sub(before), kib("VmHWM:").saturating_sub(before));
    services.block_on(server.stop());
    let percent = 100.0 * (idle / IDLE.as_secs_f64() + reconcile / INTERVAL);
    let text = format!(
        "{workers} workers: {} MiB resident and {} MiB at the peak beside the services; \
         {:.3} % of a core while nothing happens, {reconcile:.2} s for a reconcile: {percent:.2} %",
        resident >> 10,
        peak >> 10,
        100.0 * idle / IDLE.as_secs_f64(),
    );
    let _ = writeln!(std::io::stderr(), "{text}");
    assert!(resident <= MAX_MEMORY, "{text}");
    assert!(cfg!(debug_assertions) || percent <= MAX_CPU, "{text}");
}
