//! Resource providers must be registered before anything of them is created.

use super::types::{Check, CheckArea, ReadinessInput, providers};
use crate::diagnostics::Code;

pub(super) fn check(input: ReadinessInput<'_>) -> Check {
    let providers = providers(input);
    let names = providers.iter().map(|it| it.trim_start_matches("Microsoft."));
    let summary = format!("{} registered", names.collect::<Vec<_>>().join(", "));
    let mut check = Check::passed(CheckArea::Azure, "providers", summary);
    let registrations = &input.readiness.subscription.registrations;
    for (namespace, answer) in
        registrations.iter().filter(|(it, _)| providers.contains(it.as_str()))
    {
        match answer {
            Ok(state) if state == "Registered" => {}
            Ok(state) => check.error(
                Code::ProviderNotRegistered,
                format!("the resource provider {namespace} is {state} in the subscription"),
                format!("run `az provider register --namespace {namespace} --wait`"),
            ),
            Err(failure) => check.gaps.push(failure.clone()),
        }
    }
    check
}
