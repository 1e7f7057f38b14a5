//! Properties of the codes as a whole.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_code_has_its_own_entry() {
    for code in Code::ALL {
        assert_eq!(code.entry().code, code);
        assert_eq!(code.as_str().parse(), Ok(code));
    }
    assert_eq!(Code::ALL.len(), GROUPS.iter().map(|group| group.len()).sum::<usize>());
}

#[test]
fn explanations_are_complete_and_distinct() {
    let titles: BTreeSet<_> = Code::ALL.iter().map(|code| code.title()).collect();
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.explanation()).collect();
    assert_eq!(titles.len(), Code::ALL.len());
    assert_eq!(texts.len(), Code::ALL.len());
    assert!(texts.iter().all(|text| text.matches(['.', '?']).count() >= 2 && text.len() > 80));
}

#[test]
fn codes_ascend_and_others_are_unknown() {
    assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
    assert!("SG9999".parse::<Code>().is_err());
    assert_eq!("sg0303".parse(), Ok(Code::Overlap));
}
