//! The JSON Schema of SARIF 2.1.0 as OASIS published it. `serde-sarif` generates its types
//! from it, and its package has the file.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// Violations of the schema in a log; an unknown property is a violation as well.
pub(crate) fn violations(log: &Value) -> Vec<String> {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| {
        let text = std::fs::read_to_string(path()).expect("the schema");
        // Errata 01 corrects these patterns, which are no regular expressions of ECMA 262.
        let language = "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$";
        assert_eq!(text.matches(language).count(), 2);
        let text = text.replace(language, "^[a-zA-Z]{2}(-[a-zA-Z]{2})?$");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        assert!(schema["title"].as_str().is_some_and(|it| it.contains("Version 2.1.0")));
        jsonschema::validator_for(&schema).expect("a schema")
    });
    let found = validator.iter_errors(log);
    found.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn path() -> PathBuf {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    // Packages of other platforms may not have been downloaded.
    let host = Command::new(cargo).args(["--version", "--verbose"]).output().expect("cargo runs");
    let host = String::from_utf8(host.stdout).expect("a text");
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("a platform");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|one| one["name"] == "serde-sarif").expect("serde-sarif");
    let manifest = package["manifest_path"].as_str().expect("a path");
    PathBuf::from(manifest).with_file_name("src/schema.json")
}

#[test]
fn the_schema_refuses_invalid_logs() {
    let violations = |text: &str| violations(&serde_json::from_str(text).expect("JSON")).len();
    assert_eq!(violations(r#"{"version": "2.1.0", "runs": []}"#), 0);
    assert!(violations(r#"{"version": "2.0.0", "runs": []}"#) > 0);
    assert!(violations(r#"{"version": "2.1.0", "runs": [], "typo": 1}"#) > 0);
    let run = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}},
                  "results": [{"message": {"text": "a"}, "level": "fatal"}]}]}"#;
    assert!(violations(run) > 0);
}
