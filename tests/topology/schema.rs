//! The published schema is current, and schema and loader accept the examples.

use std::fs;
use std::path::{Path, PathBuf};

use stargate::cli::exit;
use stargate::topology::load::load_text;
use stargate::topology::reference::reference_text;
use stargate::topology::schema::{schema, schema_text};

const EXAMPLES: [&str; 4] = [
    "stargate.toml.example",
    "examples/aks-e2e/stargate.toml",
    "examples/bare-metal/stargate.toml",
    "examples/ten-datacenters/stargate.toml",
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn the_published_schema_is_current() {
    let file = path("schema/stargate.schema.json");
    if std::env::var_os("STARGATE_UPDATE").is_some() {
        fs::write(&file, schema_text()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == schema_text(),
        "schema/stargate.schema.json is stale; run: STARGATE_UPDATE=1 cargo test --test topology"
    );
}

#[test]
fn every_example_matches_the_schema() {
    let validator = jsonschema::validator_for(schema()).unwrap();
    for name in EXAMPLES {
        let text = fs::read_to_string(path(name)).unwrap();
        let document: toml::Value = toml::from_str(&text).unwrap();
        let document = serde_json::to_value(document).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn every_example_loads_without_a_warning() {
    for name in EXAMPLES {
        let text = fs::read_to_string(path(name)).unwrap();
        let loaded =
            load_text(name, &text).unwrap_or_else(|found| panic!("{name}: {:#?}", found.list));
        assert!(loaded.warnings.is_empty(), "{name}: {:#?}", loaded.warnings);
        assert_eq!(loaded.digest.len(), 64);
    }
}

#[test]
fn worker_ranges_are_expanded_with_spans() {
    let text = fs::read_to_string(path("examples/ten-datacenters/stargate.toml")).unwrap();
    let loaded = load_text("stargate.toml", &text).unwrap();
    let names: Vec<_> = loaded.topology.datacenters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names.len(), 10);
    assert_eq!((names[0], names[9]), ("dc01", "dc10"));
    let last = loaded.topology.datacenters[2].workers.last().unwrap();
    assert_eq!(last.name.as_str(), "dc03-worker-100");
    assert_eq!(last.ip.unwrap().to_string(), "10.62.1.104");
    assert_eq!(last.mac.as_deref(), Some("02:00:0a:3e:01:68"));
    let place = loaded.spans.worker(&last.name).unwrap();
    assert_eq!(&text[place.name.clone()], "\"dc03-worker-{:03}\"");
}

/// The reference of the topology file, and the exit codes of the commands.
fn reference() -> String {
    format!("{}\n## Exit codes\n\n{}", reference_text(), exit::table())
}

#[test]
fn the_readme_has_the_same_exit_codes() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    assert!(readme.contains(&exit::table()), "README.md: expected\n{}", exit::table());
}

#[test]
fn the_reference_is_current() {
    let file = path("REFERENCE.md");
    if std::env::var_os("STARGATE_UPDATE").is_some() {
        fs::write(&file, reference()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == reference(),
        "REFERENCE.md is stale; run: STARGATE_UPDATE=1 cargo test --test topology"
    );
}
