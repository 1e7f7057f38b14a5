//! Options that grant permissions: they must name existing resources, a saved plan keeps
//! them, and one apply is enough.

use super::location::{Ran, TestFolder};

const TABLE: &str = "route-table/cluster/stargate-workers-rt";
const ROUTER: &str = "stargate-aks-e2e-2-dc-router";

/// The text without line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_address_that_names_nothing_is_invalid_usage() {
    let location = TestFolder::applied();
    for command in ["plan", "apply --yes"] {
        for option in ["--replace", "--adopt"] {
            let line =
                format!("{command} --sandbox {option} route-table/cluster/stargate-worker-rt");
            let ran = location.run(&line).fails(64, "SG0525", "names no resource");
            assert!(flat(&ran.err).contains(&format!("did you mean `{TABLE}`")), "{}", ran.err);
            // Without a similar name, those of the same kind are proposed.
            let line = format!("{command} --sandbox {option} route-table/cluster/x");
            let ran = location.run(&line).fails(64, "SG0525", "names no resource");
            assert!(flat(&ran.err).contains("did you mean `route-table/"), "{}", ran.err);
        }
    }
}

#[test]
fn an_option_without_an_effect_is_a_note() {
    let location = TestFolder::applied();
    for (option, words) in [
        (format!("--replace {TABLE}"), "no change needs this permission"),
        (format!("--adopt {TABLE}"), "the topology owns the object"),
        ("--adopt-from old".to_owned(), "no object is owned by a topology named `old`"),
    ] {
        for command in ["plan", "apply --yes"] {
            let ran = location.run(&format!("{command} --sandbox {option}")).exits(0);
            let err = flat(&ran.err);
            let note = format!("note: `{option}` has no effect: {words}");
            assert!(err.contains(&note), "{option}: {err}");
        }
    }
    // A permission that is used has no note.
    location.run("sandbox break tag-removed").exits(0);
    let ran = location.run(&format!("plan --sandbox --adopt {TABLE}")).exits(0);
    assert!(ran.out.contains("1 to adopt") && !ran.err.contains("note:"), "{}", ran.err);
}

/// The group of a datacenter gets another name: the permission for the new group covers the
/// former one.
#[test]
fn a_permission_for_the_successor_has_an_effect() {
    let location = TestFolder::applied();
    let group = "resource_group = \"stargate-aks-e2e-2-dc\"";
    let text = location.read("stargate.toml");
    assert!(text.contains(group), "{text}");
    location.write("stargate.toml", text.replace(group, "resource_group = \"moved\""));
    let line = "plan --sandbox --allow-loss --replace resource-group/dc1/moved";
    let ran = location.run(line).exits(0);
    assert!(ran.out.contains("to destroy") && !ran.err.contains("has no effect"), "{}", ran.err);
}

/// With a key in the environment.
fn with_key(location: &TestFolder, line: &str) -> Ran {
    Ran::of(location.command(line).env("STARGATE_PLAN_KEY", "k".repeat(32)))
}

#[test]
fn a_signed_plan_keeps_its_permissions_and_an_unsigned_one_says_which() {
    let location = TestFolder::applied();
    location.run("sandbox break tag-removed").exits(0);
    let save = format!("plan --sandbox --adopt {TABLE} --out plan.json");
    location.run(&save).exits(0);
    let ran = location.run("apply --sandbox plan.json").exits(5);
    let err = flat(&ran.err);
    assert!(err.contains(&format!("stargate apply --adopt {TABLE} FILE")), "{err}");
    with_key(&location, &save).exits(0);
    let ran = with_key(&location, "apply --sandbox plan.json").exits(0);
    assert!(ran.err.contains("Apply complete: 1 change made."), "{}", ran.err);
    let again = with_key(&location, "apply --sandbox plan.json").exits(0);
    assert!(again.err.contains("were made before"), "{}", again.err);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

#[test]
fn an_unsigned_plan_is_applied_with_its_permission_repeated() {
    let location = TestFolder::applied();
    location.run("sandbox break tag-removed").exits(0);
    location.run(&format!("plan --sandbox --adopt {TABLE} --out plan.json")).exits(0);
    location.run(&format!("apply --sandbox plan.json --adopt {TABLE}")).exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// The applied example under another name of the topology.
fn renamed() -> TestFolder {
    let location = TestFolder::applied();
    let topology = location.read("stargate.toml");
    let renamed = topology.replacen("name = \"stargate-aks-e2e-2\" ", "name = \"new-name\" ", 1);
    assert_ne!(renamed, topology);
    location.write("stargate.toml", renamed);
    location
}

#[test]
fn a_takeover_with_another_router_name_needs_one_apply() {
    let location = renamed();
    let topology = location.read("stargate.toml").replace(ROUTER, "another-router");
    location.write("stargate.toml", topology);
    let ran = location.run("plan --sandbox --adopt-from stargate-aks-e2e-1").exits(64);
    assert!(flat(&ran.err).contains("did you mean `stargate-aks-e2e-2`?"), "{}", ran.err);
    let ran = location.run("apply --sandbox --yes --adopt-from stargate-aks-e2e-2").exits(0);
    assert!(ran.out.contains("> server/dc1/stargate-aks-e2e-2-worker-1"), "{}", ran.out);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
    // The takeover may be repeated.
    location.run("apply --sandbox --yes --adopt-from stargate-aks-e2e-2").exits(0);
}

/// Everything that is there is another topology's: the reason is printed once, and no
/// pool of the topology passes for one of strangers.
#[test]
fn a_new_name_of_the_topology_has_one_explanation() {
    let location = renamed();
    let ran = location.run("plan --sandbox").exits(5);
    let words = "run `stargate apply --adopt-from stargate-aks-e2e-2`";
    assert_eq!(flat(&ran.out).matches(words).count(), 1, "{}", ran.out);
    assert!(ran.out.lines().count() < 60, "{}", ran.out);
    assert!(!ran.out.contains("SG0433"), "{}", ran.out);
    let destroy = location.run("destroy --sandbox --yes").exits(5);
    assert!(destroy.out.contains("SG0524") && !destroy.out.contains("SG0433"), "{}", destroy.out);
}

const DEFAULT_TAG: &str = "# tag = \"tag:stargate-stargate-aks-e2e-2\" ";

/// The default tag names the topology, so that devices with it are its own: they get the
/// other tag in place.
#[test]
fn devices_with_the_default_tag_get_another_one() {
    let location = TestFolder::applied();
    let topology = location.read("stargate.toml");
    let edited = topology.replace(DEFAULT_TAG, "tag = \"tag:other\" ");
    assert_ne!(edited, topology);
    location.write("stargate.toml", edited);
    let plan = location.run("plan --sandbox").exits(0).out;
    assert!(plan.contains("tag: \"tag:stargate-stargate-aks-e2e-2\" -> \"tag:other\""), "{plan}");
    assert!(plan.contains("Plan: 0 to add, 2 to change, 0 to replace, 0 to destroy."), "{plan}");
    location.run("apply --sandbox --yes").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// The routers have a former tag that is not the default: they are not asked to withdraw
/// their own routes.
#[test]
fn a_new_tag_is_explained() {
    let location = TestFolder::new();
    let topology = location.read("stargate.toml");
    let first = topology.replace(DEFAULT_TAG, "tag = \"tag:first\" ");
    assert_ne!(first, topology);
    location.write("stargate.toml", &first);
    location.run("apply --sandbox --yes").exits(0);
    location.write("stargate.toml", first.replace("tag:first", "tag:other"));
    let ran = location.run("plan --sandbox").exits(5);
    let text = flat(&ran.out);
    assert!(text.contains("set `[tailnet] tag = \"tag:first\"`"), "{text}");
    assert!(text.contains("has `tag:first` and not `tag:other`"), "{text}");
    assert!(!text.contains("withdraw"), "{text}");
    assert_eq!(text.matches("SG0501").count(), 2, "{text}");
}
