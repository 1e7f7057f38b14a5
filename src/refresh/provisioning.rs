//! Objects of the topology that Azure is still working on, or gave up on.

use serde_json::Value;

use super::Observation;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::resource::{Address, ArmId, Kind, Ownership, Site};

/// Reports an object whose `provisioningState` is not `Succeeded`: it counts as existing,
/// with the returned fields.
pub(super) fn report(body: &Value, id: &ArmId, address: Address, observation: &mut Observation) {
    let state = body.pointer("/properties/provisioningState").and_then(Value::as_str);
    let Some(state) = state.filter(|state| !state.eq_ignore_ascii_case("Succeeded")) else {
        return;
    };
    let failure = failure(state, id.name());
    observation.findings.push(Finding {
        address: Some(address),
        ..Finding::new(FindingSeverity::Warning, failure)
    });
}

/// Reports an object that Azure is deleting and that a plan creates again.
pub(super) fn report_leaving(
    id: &ArmId,
    kind: Kind,
    ownership: &Ownership,
    observation: &mut Observation,
) {
    let Some(site) = ownership.site() else { return };
    let name = id.name();
    let failure = Failure::new(
        Code::OperationPending,
        format!("Azure is deleting {name}, and it counts as absent"),
        "an apply waits for the deletion before it creates it again; the activity log of Azure \
         shows who deleted it",
    );
    observation.findings.push(Finding {
        address: Some(Address::new(kind, Site::from(site), name)),
        ..Finding::new(FindingSeverity::Warning, failure)
    });
}

fn failure(state: &str, name: &str) -> Failure {
    let (message, remedy) = match state {
        "Deleting" => (
            format!("Azure is deleting {name}, and it counts as existing until it is gone"),
            "wait until it is gone, then run the same command again; the activity log of Azure \
             shows who deleted it",
        ),
        "Failed" | "Canceled" => (
            format!("the last operation of Azure on {name} did not succeed: its state is {state}"),
            "the activity log of Azure shows the reason; `az resource update` without a change \
             repeats the operation",
        ),
        _ => (
            format!("Azure is still working on {name}: its state is {state}"),
            "an apply waits for the operation before it changes the object",
        ),
    };
    Failure::new(Code::OperationPending, message, remedy)
}
