use super::super::fixture;
use super::*;

#[test]
fn a_plan_matches_its_schema() {
    let validator = jsonschema::validator_for(&plan_schema()).expect("a schema");
    for plan in [fixture::everything(), fixture::nothing(), fixture::many_workers(100)] {
        let value: Value = serde_json::from_str(&render(&plan, Purpose::Plan)).expect("JSON");
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn the_published_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/plan.schema.json");
    if std::env::var_os("STARGATE_UPDATE").is_some() {
        std::fs::write(path, plan_schema_text()).expect("the schema is written");
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == plan_schema_text(), "run the tests with STARGATE_UPDATE=1");
}
