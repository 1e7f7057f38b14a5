//! Kubernetes versions are written as AKS and Kubernetes write them.

use stargate::diagnostics::Code;

use super::bad_input::{GOOD, findings, only};

/// Other spellings of a version that a parser of numbers would accept.
const SPELLINGS: [&str; 7] = ["v1.33", "1.033", "01.33", "+1.33", "1.+33", "v1.33.5", "1.33.05"];
/// Texts that are no version.
const WRONG: [&str; 9] =
    [" 1.33", "1.33 ", "1.33\\n", "1", "1.33.5.1", "1.33-beta", "1.99999", "-1.33", "V1.33"];

/// The example with this version of the cluster, and of both tables.
fn with(version: &str) -> [String; 2] {
    let line = "kubernetes_version = \"1.33\"";
    let other = format!("kubernetes_version = \"{version}\"");
    [GOOD.replacen(line, &other, 1), GOOD.replace(line, &other)]
}

#[test]
fn another_spelling_of_a_version_is_refused_with_the_usual_one() {
    for spelling in SPELLINGS {
        let [cluster, both] = with(spelling);
        assert_ne!(cluster, GOOD);
        only(&cluster, Code::InvalidVersion);
        let found = findings(&both, Code::InvalidVersion).list;
        assert_eq!(found.len(), 2, "{spelling}: {found:#?}");
        for one in found {
            let usual = if spelling.ends_with('5') { "use \"1.33.5\"" } else { "use \"1.33\"" };
            assert_eq!(one.remedy, usual, "{spelling}");
            let span = one.primary.map(|label| label.span).unwrap_or_default();
            assert_eq!(both.get(span), Some(&*format!("\"{spelling}\"")), "{spelling}");
        }
    }
    for wrong in WRONG {
        only(&with(wrong)[0], Code::InvalidVersion);
    }
}

/// Editors that check the file by its schema report the same texts.
#[test]
fn the_schema_has_no_other_spelling_either() {
    let schema = stargate::topology::schema::schema();
    let pattern = schema.pointer("/$defs/ClusterSection/properties/kubernetes_version/pattern");
    let pattern = pattern.and_then(serde_json::Value::as_str).unwrap();
    let pattern = regex::Regex::new(pattern).unwrap();
    for version in ["1.33", "1.33.5", "1.30", "1.33.0", "1.33.10"] {
        assert!(pattern.is_match(version), "{version}");
    }
    for other in SPELLINGS.iter().chain(&["1", "1.33.5.1", "1.33-beta", " 1.33", "1.33 "]) {
        assert!(!pattern.is_match(other), "{other}");
    }
}
