//! A destroy beside an apply or beside another destroy: one of them wins, and nothing that one
//! process destroyed is created again by the other.

use std::time::Duration;

use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::Code;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;
use tokio::time::sleep;

use crate::harness::{
    Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, TWO_DATACENTERS, failures, summary,
};
use crate::lease::delayed;

fn described(applied: &Applied) -> String {
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    format!("{:?}\n{}\n{left}", applied.status, failures(applied).join("\n"))
}

fn groups_left(deployment: &Deployment) -> usize {
    let count =
        |sandbox: &SandboxState| sandbox.arm.list("Microsoft.Resources/resourceGroups").count();
    deployment.sandbox.read(count)
}

async fn destroy_after(deployment: &Deployment, wait: Duration) -> Applied {
    sleep(wait).await;
    deployment.apply(&RefreshOptions::destroying()).await
}

/// Asserts that an apply was complete before the destroy began, or says what became of it.
fn assert_clear(applied: &Applied, case: &str) {
    let failure = match &applied.status {
        ApplyStatus::Converged => return,
        // Nothing was changed.
        ApplyStatus::Overtaken(failure) => {
            assert_eq!(applied.iterations, 0, "{case} {}", described(applied));
            failure
        }
        ApplyStatus::Partial(failure) => failure,
        _ => panic!("{case} {}", described(applied)),
    };
    let message = &failure.message;
    let is_clear = match failure.code {
        Code::StalePlan => message.contains("destroys the topology"),
        Code::DeletedByOthers => message.contains("while this apply r"),
        _ => false,
    };
    assert!(
        is_clear && failure.remedy.contains("run the same command again"),
        "{case} {failure:?}"
    );
}

fn topologies() -> [(&'static str, SandboxState); 2] {
    [(EXAMPLE, SandboxState::new(1)), (TWO_DATACENTERS, SandboxState::new(2))]
}

/// A destroy that begins at any time of a first apply: before there is a cluster, while Azure
/// creates it, and later.
#[tokio::test(start_paused = true)]
async fn a_destroy_beside_a_first_apply_leaves_nothing() {
    for (text, state) in topologies() {
        for tenths in [4, 13, 22, 25, 31, 40, 46, 52, 55, 61, 73, 85, 103, 121, 160, 220] {
            let case = format!("{} at {tenths}", text.len());
            let one = Deployment::of(text, state.clone());
            let other = delayed(one.edited(text), tenths);
            let one = delayed(one, tenths + 1);
            let options = RefreshOptions::default();
            let wait = Duration::from_millis(100 * tenths);
            let (applied, destroyed) =
                tokio::join!(one.apply(&options), destroy_after(&other, wait));
            let text = described(&destroyed);
            assert_eq!(destroyed.status, ApplyStatus::Converged, "{case} {text}");
            assert_clear(&applied, &case);
            // A destroy of nothing ended before the apply began.
            if destroyed.outcomes.is_empty() {
                assert_eq!(
                    applied.status,
                    ApplyStatus::Converged,
                    "{case} {}",
                    described(&applied)
                );
            } else {
                assert_eq!(groups_left(&one), 0, "{case}");
            }
        }
    }
}

/// An apply, or another destroy, that was planned before a destroy began and goes on while it
/// runs or after it.
#[tokio::test(start_paused = true)]
async fn a_plan_made_before_a_destroy_creates_nothing_again() {
    for (text, state) in topologies() {
        let before = Deployment::of(text, state);
        before.iterate().await;
        let options = [RefreshOptions::default(), RefreshOptions::destroying()];
        for (options, tenths) in options.iter().flat_map(|it| TIMES.map(|tenths| (it, tenths))) {
            let case = format!("{} at {tenths}, {}", text.len(), options.destroying);
            let one = Deployment::of(text, before.copy_of_state());
            one.inject(Fault::CiliumNodeEmpty, None);
            let other = delayed(one.edited(text), tenths);
            let one = delayed(one, tenths + 1);
            let planned = one.refresh_and_plan(options).await;
            let second = async {
                sleep(Duration::from_millis(100 * tenths)).await;
                one.apply_planned(options, planned, &IgnoreProgress).await
            };
            let first = destroy_after(&other, Duration::from_secs(1));
            let (second, first) = tokio::join!(second, first);
            assert_eq!(first.status, ApplyStatus::Converged, "{case} {}", described(&first));
            assert_eq!(groups_left(&one), 0, "{case} {}", described(&second));
            match options.destroying {
                true => assert_eq!(
                    second.status,
                    ApplyStatus::Converged,
                    "{case} {}",
                    described(&second)
                ),
                false => assert_clear(&second, &case),
            }
        }
    }
}

/// When the second command begins, in tenths of a second: the destroy begins after one second.
const TIMES: [u64; 8] = [1, 19, 43, 67, 91, 115, 151, 600];
