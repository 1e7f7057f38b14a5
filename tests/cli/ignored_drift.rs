//! `[[ignore]]`: drift that others cause and that stargate leaves as it is.

use serde_json::{Value, json};

use super::location::{EXAMPLE, TestFolder};

const STATE: &str = ".stargate/sandbox/state.json";
const RULE: &str = r#"
[[ignore]]
address = "network-security-group/dc1/*"
field = "rules[policy-*]"
reason = "a policy of the landing zone adds the rule"
"#;

/// The applied example with a topology that ignores a field.
fn ignoring(block: &str) -> TestFolder {
    let location = TestFolder::applied();
    location.write("stargate.toml", format!("{EXAMPLE}{block}"));
    location
}

/// The security groups of the datacenter in the sandbox.
fn with_groups<T>(location: &TestFolder, visit: impl Fn(&mut Value) -> T) -> Vec<T> {
    let mut state: Value = serde_json::from_str(&location.read(STATE)).expect("JSON");
    let objects = state["sandbox"]["arm"]["objects"].as_object_mut().expect("objects");
    let groups =
        objects.iter_mut().filter(|(id, _)| id.contains("networksecuritygroups/stargate-subnet"));
    let found = groups.map(|(_, group)| visit(&mut group["body"]["properties"])).collect();
    location.write(STATE, state.to_string());
    found
}

/// A policy adds a rule to the security group of the workers.
fn add_rule(location: &TestFolder, name: &str, access: &str, priority: u16) {
    let rule = json!({"name": name, "properties": {
        "priority": priority, "direction": "Inbound", "access": access, "protocol": "*",
        "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
        "sourcePortRange": "*", "destinationPortRange": "*",
    }});
    let added = with_groups(location, |group| {
        group["securityRules"].as_array_mut().expect("a list").push(rule.clone());
    });
    assert_eq!(added.len(), 1);
}

fn rule_names(location: &TestFolder) -> Vec<String> {
    let names = with_groups(location, |group| {
        let rules = group["securityRules"].as_array().expect("a list");
        rules.iter().filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    names.concat()
}

/// The closing line beside drift that is ignored, from the JSON of the same state.
fn closing_line(location: &TestFolder) -> String {
    let ran = location.run("drift --sandbox --format json").exits(0);
    let json: Value = serde_json::from_str(&ran.out).expect("JSON");
    let ignored = json["ignored"].as_array().expect("a list").iter();
    let fields: usize = ignored.map(|it| it["fields"].as_array().expect("a list").len()).sum();
    assert!(fields > 1, "{json}");
    assert_eq!(json["summary"]["ignored"], fields);
    format!("The infrastructure matches the topology except for {fields} ignored differences.")
}

#[test]
fn ignored_drift_is_shown_and_not_corrected() {
    let location = ignoring(RULE);
    add_rule(&location, "policy-allow", "Allow", 4000);
    for line in ["plan --sandbox --detailed-exitcode", "drift --sandbox", "apply --sandbox --yes"] {
        let ran = location.run(line).exits(0);
        for part in [
            "Ignored by `[[ignore]]` blocks of the topology:",
            "network-security-group/dc1/stargate-subnet-nsg",
            "# a policy of the landing zone adds the rule",
            "rules.policy-allow.access",
            "help: an apply does not change these fields",
        ] {
            assert!(ran.out.contains(part), "{line}: no `{part}` in\n{}", ran.out);
        }
        let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.ends_with(&closing_line(&location)), "{line}: {}", ran.out);
    }
    assert!(rule_names(&location).contains(&"policy-allow".to_owned()));
    let json: Value =
        serde_json::from_str(&location.run("drift --sandbox --format json").exits(0).out)
            .expect("JSON");
    assert_eq!(json["ignored"][0]["reason"], "a policy of the landing zone adds the rule");
    assert!(json["ignored"][0]["fields"][0]["path"].is_array(), "{json}");
    let comment = location.run("plan --sandbox --format markdown").exits(0).out;
    assert!(comment.contains("**ignored** `network-security-group/dc1/"), "{comment}");
}

/// Another field of the object is corrected, and the ignored one is written as it is.
#[test]
fn an_ignored_rule_is_kept_in_a_written_object() {
    let location = ignoring(RULE);
    add_rule(&location, "policy-allow", "Allow", 4000);
    add_rule(&location, "other", "Allow", 4001);
    let drift = location.run("drift --sandbox").exits(2);
    assert!(drift.out.contains("rules.other.access"), "{}", drift.out);
    let applied = location.run("apply --sandbox --yes").exits(0);
    let closing = closing_line(&location);
    let err = applied.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(err.ends_with(&closing), "{}", applied.err);
    let names = rule_names(&location);
    assert!(names.contains(&"policy-allow".to_owned()), "{names:?}");
    assert!(!names.contains(&"other".to_owned()), "{names:?}");
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

#[test]
fn ignored_drift_does_not_hide_dropped_packets() {
    let location = ignoring(RULE);
    add_rule(&location, "policy-deny", "Deny", 100);
    for line in ["plan --sandbox", "drift --sandbox", "apply --sandbox --yes"] {
        let ran = location.run(line).exits(5);
        assert!(ran.out.contains("pairs are dropped."), "{line}: {}", ran.out);
        assert!(ran.out.contains("policy-deny"), "{line}: {}", ran.out);
    }
    location.run("check --sandbox").exits(5);
}

#[test]
fn a_refusal_because_of_the_owner_is_not_ignored() {
    let location =
        ignoring("\n[[ignore]]\naddress = \"*/*/*\"\nfield = \"*\"\nreason = \"everything\"\n");
    location.run("sandbox break tag-removed").exits(0);
    let plan = location.run("plan --sandbox").exits(5);
    assert!(plan.out.contains("SG0501"), "{}", plan.out);
}

#[test]
fn an_expired_block_warns_and_has_no_effect() {
    let dated = |date: &str| ignoring(&format!("{RULE}until = \"{date}\"\n"));
    let location = dated("2020-01-31");
    add_rule(&location, "policy-allow", "Allow", 4000);
    let validated = location.run("validate").exits(0);
    assert!(validated.err.contains("warning[SG0430]"), "{}", validated.err);
    let plan = location.run("plan --sandbox --detailed-exitcode").exits(2);
    assert!(plan.out.contains("SG0430") && plan.out.contains("2020-01-31"), "{}", plan.out);
    assert!(!plan.err.contains("SG0430"), "{}", plan.err);
    let location = dated("9999-12-31");
    add_rule(&location, "policy-allow", "Allow", 4000);
    let plan = location.run("plan --sandbox --detailed-exitcode").exits(0);
    assert!(plan.out.contains("(until 9999-12-31)"), "{}", plan.out);
}

#[test]
fn invalid_and_unused_blocks_are_reported() {
    for (block, code, words) in [
        ("address = \"x\"\nfield = \"a\"\nreason = \"r\"", "SG0230", "KIND/SITE/NAME"),
        ("address = \"no-kind/*/*\"\nfield = \"a\"\nreason = \"r\"", "SG0230", "no kind"),
        ("address = \"*/*/*\"\nfield = \"a[b\"\nreason = \"r\"", "SG0230", "closing bracket"),
        ("address = \"*/*/*\"\nfield = \"a\"\nreason = \" \"", "SG0230", "reason is empty"),
        (
            "address = \"*/*/*\"\nfield = \"a\"\nreason = \"r\"\nuntil = \"soon\"",
            "SG0230",
            "`soon` is not a date",
        ),
        ("address = \"*/*/*\"\nfield = \"a\"", "SG0107", "reason"),
        ("address = \"*/*/*\"\nfields = \"a\"\nreason = \"r\"", "SG0105", "fields"),
    ] {
        let location = TestFolder::with(&format!("{EXAMPLE}\n[[ignore]]\n{block}\n"));
        let ran = location.run("validate").exits(1);
        assert!(ran.err.contains(code) && ran.err.contains(words), "{block}: {}", ran.err);
    }
    for (part, misspelt, words) in [
        ("network-security-group/dc1/*", "network-security-group/dc9/*", "matches no resource"),
        ("rules[policy-*]", "rule[policy-*]", "matches no field"),
    ] {
        let location = ignoring(&RULE.replace(part, misspelt));
        for line in ["plan --sandbox --detailed-exitcode", "drift --sandbox"] {
            let ran = location.run(line).exits(0);
            assert!(ran.out.contains("warning[SG0435]"), "{line}: {}", ran.out);
            assert!(ran.out.contains(words), "{line}: {}", ran.out);
        }
    }
}
