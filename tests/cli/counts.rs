//! Counts in summaries are those of the listed items, in text and in JSON.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::location::{EXAMPLE, TestFolder};

/// The second worker of the example.
const SECOND_WORKER: &str = "[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-2\"\nip \
                             = \"10.50.1.6\"\npod_cidr = \"10.244.66.0/24\"\n";

/// Changes by their sign, and blocked ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    by_sign: BTreeMap<String, u64>,
    blocked: u64,
}

/// Signs of plans, and their words in the summary and in JSON.
const SIGNS: [(&str, &str, &str, &str); 5] = [
    ("+", "to add", "add", "create"),
    ("~", "to change", "change", "update"),
    ("-/+", "to replace", "replace", "replace"),
    ("-", "to destroy", "destroy", "delete"),
    (">", "to adopt", "adopt", "adopt"),
];

impl Counts {
    /// The listed items of a plan. A line that stands for similar changes counts as many.
    fn listed(text: &str) -> Self {
        let header = Regex::new(r"^ {0,3}(\+|~|-/\+|-|>) [a-z-]+/\S+( and (\d+) others?)?$");
        let header = header.expect("a pattern");
        let similar = Regex::new(r"^ +and (\d+) (similar changes|others?\b)").expect("a pattern");
        let (mut counts, mut sign, mut is_blocked) = (Self::default(), String::new(), false);
        let mut is_possible = false;
        for line in text.lines() {
            // What may follow is listed, and not counted.
            is_possible = !line.is_empty() && (is_possible || line.starts_with("  only if "));
            if is_possible {
                continue;
            }
            let (count, is_item) = match (header.captures(line), similar.captures(line)) {
                (Some(found), _) => {
                    sign = found[1].to_owned();
                    let others = found.get(3).map_or(0, |it| it.as_str().parse().unwrap_or(0));
                    (1 + others, true)
                }
                (None, Some(found)) => (found[1].parse().unwrap_or(0), true),
                (None, None) => (0, false),
            };
            is_blocked = is_blocked && line != "Ignored" || line == "Blocked:";
            match (is_item, is_blocked) {
                (true, true) => counts.blocked += count,
                (true, false) => *counts.by_sign.entry(sign.clone()).or_default() += count,
                _ => {}
            }
        }
        counts
    }

    /// The counts of the last line.
    fn summarised(text: &str) -> Self {
        let last = text.lines().last().unwrap_or_default();
        let count = |words: &str| {
            let found = Regex::new(&format!(r"(\d+) {words}\b")).expect("a pattern");
            found.captures(last).map_or(0, |found| found[1].parse().expect("a number"))
        };
        let by_sign = SIGNS.iter().map(|(sign, words, ..)| ((*sign).to_owned(), count(words)));
        Self { by_sign: by_sign.collect(), blocked: count("blocked") }.without_zeros()
    }

    /// The counts of the summary in JSON.
    fn of_summary(json: &Value) -> Self {
        let count = |key: &str| json["summary"][key].as_u64().expect("a count");
        let by_sign = SIGNS.iter().map(|(sign, _, key, _)| ((*sign).to_owned(), count(key)));
        Self { by_sign: by_sign.collect(), blocked: count("blocked") }.without_zeros()
    }

    /// The items of the lists in JSON.
    fn of_lists(json: &Value) -> Self {
        let list = |key: &str| json[key].as_array().expect("a list").clone();
        let mut counts = Self { blocked: list("blocked").len() as u64, ..Self::default() };
        let mut deferred = list("deferred");
        deferred.retain(|item| item["conditional"] == false);
        for item in list("changes").into_iter().chain(deferred) {
            let sign = SIGNS.iter().find(|(.., action)| item["action"] == **action);
            let sign = sign.unwrap_or_else(|| panic!("{}", item["action"])).0;
            *counts.by_sign.entry(sign.to_owned()).or_default() += 1;
        }
        counts
    }

    fn without_zeros(mut self) -> Self {
        self.by_sign.retain(|_, count| *count > 0);
        self
    }
}

/// Compares all counts of the plan and the drift of one state.
fn check_plans(location: &TestFolder, state: &str) {
    for command in ["plan", "drift"] {
        let run = |more: &str| location.run(&format!("{command} --sandbox{more}"));
        let json: Value = serde_json::from_str(&run(" --format json").out).expect("JSON");
        let expected = Counts::of_lists(&json);
        assert_eq!(Counts::of_summary(&json), expected, "{state}: {command} in JSON");
        let deferred = json["deferred"].as_array().expect("a list").iter();
        let deferred = deferred.filter(|item| item["conditional"] == false).count();
        assert_eq!(json["summary"]["deferred"], deferred, "{state}: {command}");
        for more in ["", " --full"] {
            let text = run(more).out;
            if text.lines().last().is_some_and(|line| line.contains(" to add, ")) {
                assert_eq!(Counts::summarised(&text), expected, "{state}: {command}{more}\n{text}");
            }
            assert_eq!(Counts::listed(&text), expected, "{state}: {command}{more}\n{text}");
            if deferred > 0 {
                let noun = if deferred == 1 { "change" } else { "changes" };
                assert!(text.contains(&format!("Deferred: {deferred} {noun} whose")), "{text}");
                let included = format!("include {deferred} deferred {noun}.");
                assert!(text.contains(&included), "{text}");
            }
        }
    }
}

/// The pairs of a plan are the sum of its parts, which are those of JSON.
fn check_pairs(location: &TestFolder, state: &str) {
    let text = location.run("plan --sandbox").out;
    let json = location.run("plan --sandbox --format json").out;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let found = &json["reachability"];
    let count = |key: &str| found[key].as_u64().expect("a count");
    let losses = found["losses"].as_array().expect("a list").iter();
    let lost: u64 = losses.map(|loss| loss["pairs"].as_u64().expect("a count")).sum();
    assert_eq!(count("lost"), lost, "{state}: {found}");
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = Regex::new(r"Reachability: (\d+) pairs? \(([^)]*)\)").expect("a pattern");
    let Some(line) = line.captures(&joined) else { return };
    let numbers = Regex::new(r"\d+").expect("a pattern");
    let printed: u64 =
        numbers.find_iter(&line[2]).map(|it| it.as_str().parse::<u64>().expect("a count")).sum();
    assert_eq!(line[1].parse(), Ok(printed), "{state}: {}", &line[0]);
    let keys = ["kept", "gained", "lost", "removed", "unreachable", "unknown"];
    assert_eq!(printed, keys.map(count).iter().sum::<u64>(), "{state}: {found}");
}

/// The last line of `check` is the sum of its matrix and of its problems.
fn check_matrix(location: &TestFolder, state: &str) {
    let check = location.run("check --sandbox");
    let rows = check.out.lines().skip(1).take_while(|line| !line.is_empty());
    let mut sums = [0_u64; 3];
    for row in rows {
        let cells: Vec<u64> = row.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        assert_eq!(cells.len(), 3, "{state}: {row}");
        sums.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell);
    }
    let [reached, dropped, unknown] = sums;
    let all = reached + dropped + unknown;
    let line = format!("{all} pairs: {reached} reached, {dropped} dropped, {unknown} unknown");
    let joined = check.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(joined.contains(&line), "{state}: no `{line}` in\n{}", check.out);
    let json = location.run("check --sandbox --format json");
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    for (key, sum) in [("reached", reached), ("dropped", dropped), ("unknown", unknown)] {
        assert_eq!(json[key], sum, "{state}: {key}");
    }
}

#[test]
fn counts_are_those_of_the_listed_items() {
    let check = |location: &TestFolder, state: &str| {
        check_plans(location, state);
        check_pairs(location, state);
        check_matrix(location, state);
    };
    check(&TestFolder::new(), "a new deployment");
    for faults in [
        &[][..],
        &["route-missing", "nsg-deny", "aks-scale-out"],
        &["device-unauthorized", "cilium-node-empty"],
        &["router-offline", "worker-vm-deleted"],
        &["foreign-object", "tag-removed", "router-table-detached"],
        &["worker-not-ready", "aks-scale-in"],
    ] {
        let location = TestFolder::applied();
        for fault in faults {
            location.run(&format!("sandbox break {fault}")).exits(0);
        }
        check(&location, &faults.join(", "));
    }
    for (state, from, to) in [
        ("fewer workers", SECOND_WORKER, ""),
        ("another version", "kubernetes_version = \"1.33\"", "kubernetes_version = \"1.34.1\""),
        (
            "another VM size",
            "vm_size = \"Standard_D2s_v5\"\n\n[datacenters",
            "vm_size = \
          \"Standard_D4s_v5\"\n\n[datacenters",
        ),
        ("another pod CIDR", "pod_cidr = \"10.244.0.0/16\"", "pod_cidr = \"10.244.0.0/15\""),
    ] {
        let location = TestFolder::applied();
        // A profile follows its cluster.
        let edited = match state {
            "another version" => EXAMPLE.replace(from, to),
            _ => EXAMPLE.replacen(from, to, 1),
        };
        assert_ne!(edited, EXAMPLE, "{state}");
        location.write("stargate.toml", edited);
        check(&location, state);
    }
}
