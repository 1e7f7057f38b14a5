//! Every fault is reported, mended, and then gone.

use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, Look, told};

#[tokio::test(start_paused = true)]
async fn matrix() {
    let healthy = Deployment::example_applied().await.copy_of_world();
    for fault in Fault::ALL {
        let deployment = Deployment::of(crate::harness::EXAMPLE, healthy.clone());
        let done = deployment.strike(*fault, None);
        println!("=== {fault}: {done}");
        let look = if *fault == Fault::CniConfigMissing { Look::deep() } else { Look::default() };
        println!("{}", told(&deployment.look(&look).await.plan));
        let applied = deployment.apply(&look).await;
        println!("--> {:?} in {} rounds", applied.ending, applied.rounds);
        println!("{}", told(&deployment.look(&look).await.plan));
    }
}
