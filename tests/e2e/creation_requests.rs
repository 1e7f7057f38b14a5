//! How many requests a creation in Azure takes.

use stargate::provider::http::Api;

use crate::harness::Deployment;

/// The methods of the requests to an object while everything was created, in order.
async fn requests_to(deployment: &Deployment, objects: &[&str]) -> Vec<Vec<String>> {
    deployment.sandbox.change(|sandbox, now| sandbox.log.begin("apply", now));
    deployment.iterate().await;
    let methods = |object: &str| {
        deployment.sandbox.read(|sandbox| {
            let entries = sandbox.log.entries().filter(|it| it.api == Api::Azure);
            let to_object = entries.filter(|it| it.path.ends_with(object));
            to_object.map(|it| it.method.clone()).collect()
        })
    };
    objects.iter().map(|object| methods(object)).collect()
}

/// The plan reads each object by its ID, since lists alone do not prove its absence. Azure
/// refuses to create a VM that exists, so no guard reads it again. An interface has no such
/// condition, and a router's VM, whose tailnet key is created first, is not in the first
/// plan. The body at the end of each operation is not read again.
#[tokio::test(start_paused = true)]
async fn a_creation_reads_no_more_than_it_must() {
    let deployment = Deployment::example();
    let objects = [
        "virtualMachines/stargate-aks-e2e-2-worker-1",
        "networkInterfaces/stargate-aks-e2e-2-worker-1-nic",
        "virtualMachines/stargate-aks-e2e-2-dc-router",
    ];
    let found = requests_to(&deployment, &objects).await;
    let guarded = ["GET", "PUT", "GET"];
    assert_eq!(found[0], ["GET", "PUT", "GET"], "{}", objects[0]);
    assert_eq!(found[1], ["GET", "GET", "PUT", "GET"], "{}", objects[1]);
    assert_eq!(found[2], guarded, "{}", objects[2]);
}
