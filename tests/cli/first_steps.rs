//! A newcomer's first hour.

use regex::Regex;

use super::location::{TestFolder, applied};

const README: &str = include_str!("../../README.md");

/// The commands of the README's consoles, each with what it shows of the output.
fn tour() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    let consoles = README.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    for line in consoles.flat_map(str::lines) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => {
                let own = command.split("stargate ").last().unwrap_or_default();
                commands.push((own, Vec::new()));
            }
            (None, Some((_, shown))) if !matches!(line, "" | "…") => shown.push(line),
            _ => {}
        }
    }
    commands
}

#[test]
fn the_readme_shows_what_happens() {
    let varying = Regex::new(r"\([0-9.]+ s\)|-[0-9]{8}-").expect("a pattern");
    let same = |line: &str| varying.replace_all(line, "#").into_owned();
    let location = TestFolder::new();
    let tour = tour();
    assert!(tour.len() > 6, "{tour:?}");
    for (command, shown) in tour {
        let ran = location.run(command);
        assert!(matches!(ran.code, 0 | 2), "{command}: {ran:?}");
        let told: Vec<String> = ran.out.lines().chain(ran.err.lines()).map(same).collect();
        for line in shown {
            assert!(told.contains(&same(line)), "`{command}` does not say `{line}`: {told:#?}");
        }
    }
}

#[test]
fn the_first_command_of_the_readme_does_what_it_says() {
    let ran = &applied().1;
    assert!(ran.out.contains("\nPlan: "), "{}", ran.out);
    assert!(ran.err.trim_end().ends_with("the world matches the topology."), "{}", ran.err);
}

#[test]
fn after_an_apply_there_is_nothing_left_to_do() {
    let location = TestFolder::applied();
    let plan = location.run("plan --sandbox --detailed-exitcode").exits(0);
    assert_eq!(plan.out, "No changes. The world matches the topology.\n");
    let drift = location.run("drift --sandbox").exits(0);
    let reached = "Reachability: all 24 pairs are reached";
    assert_eq!(drift.out, format!("{reached}\n\nNo drift. The world matches the topology.\n"));
    let again = location.run("apply --sandbox").exits(0);
    assert_eq!(again.out, plan.out, "no approval is needed for nothing");
}

#[test]
fn what_is_broken_is_found_and_mended() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let drift = location.run("drift --sandbox").exits(2);
    assert!(drift.out.contains("  ~ route-table/cluster/stargate-workers-rt\n"), "{}", drift.out);
    assert!(drift.out.ends_with("Drift: 0 to add, 1 to change, 0 to replace, 0 to destroy.\n"));
    location.run("plan --sandbox").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(2);
    let refused = location.run("apply --sandbox").exits(1);
    assert!(refused.err.contains("SG0508") && refused.err.contains("--yes"), "{}", refused.err);
    location.run("apply --sandbox --yes").exits(0);
    location.run("drift --sandbox").exits(0);
}

#[test]
fn a_new_topology_is_valid_and_is_not_overwritten() {
    let location = TestFolder::empty();
    let written = location.run("init").exits(0);
    assert_eq!(written.out, "");
    assert!(written.err.contains("stargate validate"), "{}", written.err);
    let valid = location.run("validate").exits(0);
    assert_eq!(valid.out, "stargate.toml is valid: 1 datacenter, 2 workers\n");
    let before = location.contents();
    let refused = location.run("init").exits(1);
    assert!(refused.err.contains("is there already") && refused.err.contains("help: "));
    assert_eq!(location.contents(), before);
    let planned = location.run("plan --sandbox").exits(0);
    assert!(planned.out.contains("topology `my-stargate`"), "{}", planned.out);
}

#[test]
fn nothing_is_left_after_a_destroy() {
    let location = TestFolder::applied();
    let refused = location.run("destroy --sandbox").exits(1);
    assert!(refused.err.contains("SG0508"), "{}", refused.err);
    location.run("destroy --sandbox --yes").exits(0);
    let again = location.run("destroy --sandbox --yes").exits(0);
    assert_eq!(again.out, "Nothing to destroy. Nothing of the topology is left.\n");
}
