//! Names and prose use the terms of Terraform, Kubernetes and Linux networking.
//!
//! The project had a vocabulary of its own, which its readers had to learn. The
//! lists keep the words of that time from coming back. Identifiers are compared
//! as whole names; prose is searched in comments, literals and documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::sources::{Sources, read_rust, read_sources};
use crate::tokens::{TokenKind, tokenize};

/// Former identifiers, each with the term that replaced it.
const FORMER_NAMES: [(&str, &str); 95] = [
    ("doors", "clients"),
    ("Doors", "Clients"),
    ("HostDoor", "HostClient"),
    ("ClusterDoor", "ClusterClient"),
    ("ApiError", "Failure, or an error named for its service"),
    ("ReadError", "Failure"),
    ("physics", "controllers"),
    ("settle", "reconcile"),
    ("mesh", "network"),
    ("roads", "fabric"),
    ("carry", "forward"),
    ("face", "endpoint"),
    ("faces", "endpoints"),
    ("intercept", "fault_injector"),
    ("Interceptor", "FaultInjector"),
    ("moments", "intermediate_states"),
    ("Moment", "IntermediateState"),
    ("meanwhile", "disruption"),
    ("Interruption", "Disruption"),
    ("Cut", "Disruption"),
    ("mend", "remedy"),
    ("Mend", "Remedy"),
    ("ways", "reachability_report"),
    ("Way", "Direction"),
    ("Fares", "PairStatus"),
    ("origins", "provenance"),
    ("Told", "Provenance"),
    ("kernels", "host_routing"),
    ("Seen", "ProjectedFact"),
    ("halves", "phases"),
    ("Half", "Phase"),
    ("TearDown", "Phase::Destroy"),
    ("foresight", "stale_facts"),
    ("what_stays", "surviving"),
    ("keep", "protection"),
    ("Kept", "Retained"),
    ("places", "exclusive_claims"),
    ("Places", "Claims"),
    ("asked", "worker_request"),
    ("Asked", "WorkerRequest"),
    ("cascade", "propagation"),
    ("removal", "orphans, deletion"),
    ("because", "planned_because_of"),
    ("follows_from", "caused_by"),
    ("lives_in", "contained_in"),
    ("brought_by", "created_by"),
    ("just_made", "recently_created"),
    ("asked_for", "requested"),
    ("torn_down_after", "destroy_after"),
    ("made_after_teardown", "create_after_destroy_of"),
    ("Standing", "PlanStatus"),
    ("Ending", "ApplyStatus"),
    ("AlreadySo", "UpToDate"),
    ("HeldBack", "RolloutHalted"),
    ("NotBegun", "NotStarted"),
    ("converge", "iterate"),
    ("Round", "Iteration"),
    ("exchange", "http_client"),
    ("patience", "retry"),
    ("Repeat", "RetryClass"),
    ("quiet", "wait_until_idle"),
    ("settled", "wait_provisioned"),
    ("gone", "wait_deleted, deleted, absent"),
    ("look", "get_with_headers, refresh, probe"),
    ("made_anew", "host_recreated"),
    ("look_closer", "refresh_by_id"),
    ("station", "host_forwarding"),
    ("trip", "round_trip"),
    ("walk", "trace"),
    ("transit", "fabric_forwarding"),
    ("hidden", "snat, unread"),
    ("shown", "translated_source, text"),
    ("restore", "un_nat"),
    ("subjects", "endpoints"),
    ("questions", "queries"),
    ("sorting", "partition"),
    ("signatures", "fingerprint"),
    ("Order", "ApplyRequest, StepGraph"),
    ("Look", "RefreshOptions"),
    ("tell", "print, report"),
    ("carry_out", "run_plan, execute"),
    ("Teller", "ProgressSink"),
    ("FEW_WORDS", "SMALL_OUTPUT"),
    ("offers", "advertises"),
    ("Offers", "Advertisements"),
    ("dice", "rng"),
    ("lies", "model_mutations"),
    ("mishaps", "faults"),
    ("Mishap", "Fault"),
    ("tally", "coverage"),
    ("foretold", "predicted"),
    ("portrait", "canonical_state"),
    ("crowd", "many_hosts"),
    ("nobody", "none"),
    ("somebody", "other"),
];
/// Beginnings of former names of constants.
const FORMER_PREFIXES: [(&str, &str); 2] = [("MOST_", "MAX_"), ("LONGEST_", "MAX_")];
/// Names of modules and files that moved; as a word inside a function they are fine.
const FORMER_MODULES: [(&str, &str); 11] = [
    ("observe", "refresh"),
    ("execute", "apply"),
    ("reach", "dataplane"),
    ("paths", "connectivity"),
    ("view", "projected_state"),
    ("live", "preflight"),
    ("edges", "dependencies"),
    ("face", "endpoint"),
    ("whole_loop", "e2e"),
    ("command_line", "cli"),
    ("reach_lab", "netns"),
];
/// Modules of these names that mean something else.
const ALLOWED_MODULES: [(&str, &str); 3] = [
    ("src/provider/ssh/execute.rs", "runs a command in an SSH session"),
    ("src/render/connectivity/live.rs", "the report of `check --live`"),
    ("src/cli/commands/live.rs", "the command line's `check --live`"),
];
/// Rule ids that stood in JSON and logs.
const FORMER_RULES: [&str; 12] = [
    "routes-lead-to-somebody",
    "routes-are-for-somebody",
    "offers-are-approved",
    "nobody-offers-others-pods",
    "what-has-no-route-ends",
    "sources-are-hidden-both-ways-or-not",
    "neighbours-are-reached-straight",
    "nodes-are-as-they-should",
    "pods-get-addresses",
    "pod-ranges-are-apart",
    "interfaces-forward",
    "nothing-is-left-over",
];
/// Words and phrases that prose does without, as regular expressions.
const FORMER_PROSE: [&str; 43] = [
    r"\banew\b",
    r"\bnobody\b",
    r"\bsomebody\b",
    r"\bwhoever\b",
    r"\bwhichever\b",
    r"\bmend(s|ed|ing)?\b",
    r"\bdoors?\b",
    r"\bfaces?\b",
    r"\btold\b",
    r"\bforetold\b",
    r"\bforetells?\b",
    r"\bphysics\b",
    r"\bmeanwhile\b",
    r"\bvouch(es|ed)?\b",
    r"\bforesight\b",
    r"\bmishaps?\b",
    r"\bportrait\b",
    r"\bdice\b",
    r"\btally\b",
    r"\bfares\b",
    r"\bleads? nowhere\b",
    r"\bcarr(y|ies|ied) out\b",
    r"\bin the making\b",
    r"\bno news\b",
    r"\bis none\b",
    r"\bare none\b",
    r"\bspelt out\b",
    r"\bgreets?\b",
    r"\bthe world\b",
    r"\bthe house\b",
    r"\bof its own accord\b",
    r"\bwithout a word\b",
    r"\brests? on\b",
    r"\basks for it\b",
    r"topology's mark",
    r"\bnot begun\b",
    r"\bgoes first\b",
    r"\bgiven out\b",
    r"\bhung up\b",
    r"\bgoes round\b",
    r"\bbroke off\b",
    r"\bhidden behind\b",
    r"\bcolours?\b",
];

/// This file names what it forbids.
const THIS_FILE: &str = "tests/architecture/vocabulary.rs";

fn rust_files() -> Sources {
    let folders = ["src", "tests", "benches"].into_iter().flat_map(read_rust);
    folders.filter(|(path, _)| path != Path::new(THIS_FILE)).collect()
}

/// Files with prose that are not Rust.
fn documents() -> Sources {
    let extensions = ["md", "toml", "example", "sh", "py", "snap", "json", "patch"];
    let mut found = Sources::new();
    for folder in ["src", "tests", "examples", "schema"] {
        found.extend(read_sources(folder, &extensions));
    }
    for file in ["README.md", "stargate.toml.example", "Cargo.toml", ".ci/run"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        found.insert(file.into(), std::fs::read_to_string(path).unwrap());
    }
    found
}

/// Former names that mean something else in these files.
const ALLOWED_NAMES: [(&str, &str, &str); 3] = [
    ("quiet", "src/cli/arguments.rs", "the flag `--quiet`"),
    ("quiet", "src/cli/ui.rs", "the flag `--quiet`"),
    ("hidden", "src/render/apply_events/tests.rs", "a function of indicatif"),
];

/// The former identifiers in a file, with their lines.
fn former_names(source: &str) -> Vec<String> {
    let former: BTreeMap<&str, &str> = FORMER_NAMES.into();
    let mut found = Vec::new();
    for token in tokenize(source).iter().filter(|token| token.kind == TokenKind::Word) {
        let word = token.text.as_str();
        let by_prefix = FORMER_PREFIXES.iter().find(|(prefix, _)| word.starts_with(prefix));
        let name = former.get(word).copied().or(by_prefix.map(|(_, now)| *now));
        found.extend(name.map(|now| format!("{}: `{word}` is now {now}", token.line)));
    }
    found
}

/// The former words in a text, with their lines.
fn former_prose(text: &str, first_line: usize, words: &Regex) -> Vec<String> {
    let of_line = |(number, line): (usize, &str)| {
        let found: Vec<String> = words
            .find_iter(line)
            .map(|word| format!("{}: `{}` in: {}", first_line + number, word.as_str(), line.trim()))
            .collect();
        found
    };
    text.lines().enumerate().flat_map(of_line).collect()
}

fn prose_pattern() -> Regex {
    let rules = FORMER_RULES.into_iter().map(str::to_owned);
    let words = FORMER_PROSE.into_iter().map(str::to_owned).chain(rules);
    Regex::new(&format!("(?i){}", words.collect::<Vec<_>>().join("|"))).unwrap()
}

fn prose_of_rust(source: &str, words: &Regex) -> Vec<String> {
    let tokens = tokenize(source);
    let is_prose = |kind| matches!(kind, TokenKind::Comment | TokenKind::Literal);
    let prose = tokens.iter().filter(|token| is_prose(token.kind));
    prose.flat_map(|token| former_prose(&token.text, token.line, words)).collect()
}

fn assert_none(found: &[String], what: &str) {
    assert!(found.is_empty(), "{} {what}:\n{}\n", found.len(), found.join("\n"));
}

fn located(path: &Path, found: Vec<String>) -> Vec<String> {
    found.into_iter().map(|it| format!("{}:{it}", path.display())).collect()
}

#[test]
fn identifiers_are_terms_of_the_field() {
    let files = rust_files();
    let is_allowed = |path: &Path, found: &str| {
        ALLOWED_NAMES.iter().any(|(name, file, _)| {
            path == Path::new(file) && found.contains(&format!("`{name}` is now"))
        })
    };
    let found = files.iter().flat_map(|(path, text)| {
        let names = former_names(text).into_iter().filter(|found| !is_allowed(path, found));
        located(path, names.collect())
    });
    assert_none(&found.collect::<Vec<_>>(), "former identifiers");
    assert!(files.len() > 400, "{} files read", files.len());
}

/// Words that no function's name is made of.
const FORMER_NAME_WORDS: [&str; 20] = [
    "anew",
    "carried",
    "dice",
    "door",
    "doors",
    "face",
    "faces",
    "foretold",
    "lies",
    "meanwhile",
    "mend",
    "mended",
    "mends",
    "mishap",
    "mishaps",
    "nobody",
    "somebody",
    "tally",
    "told",
    "whoever",
];

#[test]
fn function_names_are_plain() {
    let former = BTreeSet::from(FORMER_NAME_WORDS);
    let mut found = Vec::new();
    for (path, text) in rust_files() {
        let tokens = tokenize(&text);
        let words: Vec<_> = tokens.iter().filter(|it| it.kind == TokenKind::Word).collect();
        for pair in words.windows(2).filter(|pair| pair[0].text == "fn") {
            if pair[1].text.split('_').any(|word| former.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), pair[1].line, pair[1].text));
            }
        }
    }
    assert_none(&found, "function names with former words");
}

#[test]
fn modules_are_terms_of_the_field() {
    let former: BTreeMap<&str, &str> = FORMER_MODULES.into_iter().chain(FORMER_NAMES).collect();
    let allowed: BTreeSet<&Path> =
        ALLOWED_MODULES.iter().map(|(path, _)| Path::new(*path)).collect();
    let found = rust_files().into_keys().filter(|path| !allowed.contains(path.as_path()));
    let found = found.filter_map(|path| {
        let names = path.with_extension("");
        let name = names.iter().filter_map(|it| it.to_str()).find(|it| former.contains_key(it))?;
        Some(format!("{}: `{name}` is now {}", path.display(), former[name]))
    });
    assert_none(&found.collect::<Vec<_>>(), "former modules");
}

#[test]
fn prose_is_plain() {
    let words = prose_pattern();
    let rust = rust_files();
    let of_rust = rust.iter().flat_map(|(path, text)| located(path, prose_of_rust(text, &words)));
    let documents = documents();
    let of_documents =
        documents.iter().flat_map(|(path, text)| located(path, former_prose(text, 1, &words)));
    assert_none(&of_rust.chain(of_documents).collect::<Vec<_>>(), "former words in prose");
    assert!(documents.len() > 30, "{} documents read", documents.len());
}

#[test]
fn planted_words_are_found() {
    let source =
        "fn mend(world: &HostDoor) {\n    // Nobody told.\n    \"made anew\"; MOST_BYTES; amend\n}";
    let names = former_names(source);
    assert_eq!(names.len(), 3, "{names:?}");
    let prose = prose_of_rust(source, &prose_pattern());
    assert_eq!(prose.len(), 3, "{prose:?}");
}
