//! Two worlds from the same topology are the same.

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE};
use stargate::sandbox::SandboxState;

#[tokio::test(start_paused = true)]
async fn the_same_topology_makes_the_same_world() {
    let one = Deployment::example_applied().await.copy_of_world();
    let other = Deployment::of(EXAMPLE, SandboxState::new(77));
    other.iterate().await;
    let differing = differences(&canonical_state(&one), &canonical_state(&other.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
}
