use super::*;
use crate::sandbox::test_sandbox::{now, whole};

#[test]
fn every_fault_can_be_injected_and_changes_the_world() {
    for fault in Fault::ALL {
        let mut world = whole();
        let before = serde_json::to_value(&world).unwrap();
        let done = inject(&mut world, *fault, None, now())
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert!(!done.is_empty());
        assert_ne!(before, serde_json::to_value(&world).unwrap(), "{fault}");
        assert_eq!(fault.as_str().parse(), Ok(*fault));
        assert!(fault.description().ends_with('.'));
    }
}

#[test]
fn an_unknown_target_is_answered_with_those_that_are_there() {
    let mut world = whole();
    let error = inject(&mut world, Fault::RouterOffline, Some("nobody"), now()).unwrap_err();
    let candidates = vec!["aks-router".to_owned(), "dc1-router".to_owned()];
    assert_eq!(error, FaultError::UnknownTarget { target: "nobody".to_owned(), candidates });
    inject(&mut world, Fault::RouterOffline, Some("dc1-router"), now()).unwrap();
    assert!(!world.hosts["dc1-router"].powered_on);
}

#[test]
fn an_empty_world_has_nothing_to_break() {
    let mut world = World::new(1);
    for fault in Fault::ALL.iter().filter(|fault| **fault != Fault::SourceDown) {
        let result = inject(&mut world, *fault, None, now());
        assert_eq!(result, Err(FaultError::NothingThere(fault.as_str())), "{fault}");
    }
    inject(&mut world, Fault::SourceDown, Some("azure"), now()).unwrap();
    assert_eq!(world.down.len(), 1);
    inject(&mut world, Fault::SourceDown, Some("none"), now()).unwrap();
    assert!(world.down.is_empty());
}
