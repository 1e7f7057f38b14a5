use super::*;
use crate::sandbox::test_sandbox::{complete_sandbox, now};

#[test]
fn every_fault_changes_the_sandbox() {
    for fault in Fault::ALL {
        let mut sandbox = complete_sandbox();
        let before = serde_json::to_value(&sandbox).unwrap();
        let done = inject(&mut sandbox, *fault, None, now())
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert!(!done.is_empty());
        assert_ne!(before, serde_json::to_value(&sandbox).unwrap(), "{fault}");
        assert_eq!(fault.as_str().parse(), Ok(*fault));
        assert!(fault.description().ends_with('.'));
    }
}

#[test]
fn an_unknown_target_is_refused_with_the_possible_targets() {
    let mut sandbox = complete_sandbox();
    let error = inject(&mut sandbox, Fault::RouterOffline, Some("missing"), now()).unwrap_err();
    let candidates = vec!["aks-router".to_owned(), "dc1-router".to_owned()];
    assert_eq!(error, FaultError::UnknownTarget { target: "missing".to_owned(), candidates });
    inject(&mut sandbox, Fault::RouterOffline, Some("dc1-router"), now()).unwrap();
    assert!(!sandbox.hosts["dc1-router"].powered_on);
}

/// Faults of the account and of services, which need no deployment.
const WITHOUT_DEPLOYMENT: [Fault; 11] = [
    Fault::AzureActionMissing,
    Fault::ProviderUnregistered,
    Fault::QuotaExhausted,
    Fault::SizeRestricted,
    Fault::VersionEnded,
    Fault::VersionLongTermOnly,
    Fault::PolicyDenies,
    Fault::ManagementLock,
    Fault::TailnetScopeMissing,
    Fault::ClockSkew,
    Fault::SourceDown,
];

#[test]
fn an_empty_sandbox_has_no_fault_targets() {
    let mut sandbox = SandboxState::new(1);
    let of_deployment = Fault::ALL.iter().filter(|fault| !WITHOUT_DEPLOYMENT.contains(fault));
    for fault in of_deployment {
        let result = inject(&mut sandbox, *fault, None, now());
        assert_eq!(result, Err(FaultError::NoTarget(fault.as_str())), "{fault}");
    }
    inject(&mut sandbox, Fault::SourceDown, Some("azure"), now()).unwrap();
    assert_eq!(sandbox.down.len(), 1);
    inject(&mut sandbox, Fault::SourceDown, Some("none"), now()).unwrap();
    assert!(sandbox.down.is_empty());
}
