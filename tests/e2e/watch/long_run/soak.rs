//! The same over sockets and in real time: seconds instead of minutes, and connections that break.
//!
//! `STARGATE_WATCH_SOAK_SECONDS=600 cargo test --test e2e -- soak --nocapture` runs ten minutes;
//! `STARGATE_WATCH_SEED` sets the order.

use std::time::Duration;

use stargate::sandbox::SandboxState;
use tokio::runtime::Builder;

use super::{RunSettings, Subject, run, setting};
use crate::harness::Deployment;
use crate::watch::latency::served_with;

/// The length without a setting: long enough for a few disturbances.
const USUAL_SECONDS: u64 = 15;

const REAL: RunSettings = RunSettings {
    interval: Duration::from_secs(10),
    divisor: 60,
    max_convergence: Duration::from_secs(120),
    // Connections that are kept have tasks, too.
    more_tasks: 64,
    is_alone: false,
};

/// The services run on threads of their own, so that the tasks of the watch are counted alone.
#[test]
fn a_soak_over_sockets_converges_and_leaks_nothing() {
    let seed = setting("STARGATE_WATCH_SEED").unwrap_or(1);
    let seconds = setting("STARGATE_WATCH_SOAK_SECONDS");
    let settings = RunSettings { is_alone: seconds.is_some(), ..REAL };
    let time = Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS));
    let mut subject = Subject::of(None);
    let interval = format!("[watch]\ninterval_seconds = {}", REAL.interval.as_secs());
    subject.text = subject.text.replace("[watch]", &interval);
    let paused = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let state = paused.block_on(async {
        let deployment = Deployment::of(&subject.text, SandboxState::new(seed));
        deployment.iterate().await;
        deployment.copy_of_state()
    });
    let services = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (deployment, server) = services.block_on(served_with(&subject.text, state));
    let watch = Builder::new_current_thread().enable_all().build().unwrap();
    watch.block_on(run(&deployment, &subject, (seed, settings, time)));
    services.block_on(server.stop());
}
