//! Two sandboxes with the same topology have the same state.

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE};
use stargate::sandbox::SandboxState;

#[tokio::test(start_paused = true)]
async fn the_same_topology_gives_the_same_state() {
    let one = Deployment::example_applied().await.copy_of_state();
    let other = Deployment::of(EXAMPLE, SandboxState::new(77));
    other.iterate().await;
    let differing = differences(&canonical_state(&one), &canonical_state(&other.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}
