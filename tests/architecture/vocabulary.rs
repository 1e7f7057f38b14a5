//! Names and prose use the terms of Terraform, Kubernetes and Linux networking.
//!
//! The project had a vocabulary of its own, which its readers had to learn. The
//! lists keep the words of that time from coming back. Identifiers are compared
//! as whole names; prose is searched in comments, literals and documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use crate::former_words::{
    ALLOWED_MODULES, FORMER_MODULES, FORMER_NAME_WORDS, FORMER_NAMES, FORMER_PREFIXES,
    FORMER_PROSE, FORMER_RULES, FORMER_SUFFIXES,
};
use crate::sources::{Sources, read_rust, read_sources};
use crate::tokens::{TokenKind, tokenize};

/// These files contain the forbidden words.
const THESE_FILES: [&str; 2] =
    ["tests/architecture/vocabulary.rs", "tests/architecture/former_words.rs"];

fn rust_files() -> Sources {
    let folders = ["src", "tests", "benches"].into_iter().flat_map(read_rust);
    folders.filter(|(path, _)| !THESE_FILES.iter().any(|it| path == Path::new(it))).collect()
}

/// Files with prose that are not Rust.
fn documents() -> Sources {
    let extensions = ["md", "toml", "example", "sh", "py", "snap", "json", "patch"];
    let mut found = Sources::new();
    for folder in ["src", "tests", "examples", "schema"] {
        found.extend(read_sources(folder, &extensions));
    }
    for file in ["README.md", "REFERENCE.md", "stargate.toml.example", "Cargo.toml", ".ci/run"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        found.insert(file.into(), std::fs::read_to_string(path).unwrap());
    }
    found
}

/// Former names that mean something else in these files.
const ALLOWED_NAMES: [(&str, &str, &str); 4] = [
    ("quiet", "src/cli/arguments.rs", "the flag `--quiet`"),
    ("quiet", "src/cli/ui.rs", "the flag `--quiet`"),
    ("intercept", "src/provider/proxy.rs", "a function of hyper-util"),
    ("hidden", "src/render/apply_events/tests.rs", "a function of indicatif"),
];

/// The former identifiers in a file, with their lines.
fn former_names(source: &str) -> Vec<String> {
    let former: BTreeMap<&str, &str> = FORMER_NAMES.into();
    let mut found = Vec::new();
    for token in tokenize(source).iter().filter(|token| token.kind == TokenKind::Word) {
        let word = token.text.as_str();
        let by_prefix = FORMER_PREFIXES.iter().find(|(prefix, _)| word.starts_with(prefix));
        let by_suffix = FORMER_SUFFIXES.iter().find(|(suffix, _)| word.ends_with(suffix));
        let by_part = by_prefix.or(by_suffix).map(|(_, now)| *now);
        let name = former.get(word).copied().or(by_part);
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

/// The words of an identifier in snake or camel case, in small letters.
fn words_of(identifier: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for letter in identifier.chars() {
        let begins = letter.is_uppercase() && !joins;
        match words.last_mut().filter(|word| letter != '_' && !begins && !word.is_empty()) {
            Some(word) => word.extend(letter.to_lowercase()),
            _ if letter == '_' => words.push(String::new()),
            _ => words.push(letter.to_lowercase().collect()),
        }
        // A constant is of capital letters throughout.
        joins = letter.is_uppercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn identifiers_have_no_former_words() {
    let former = BTreeSet::from(FORMER_NAME_WORDS);
    let mut found = Vec::new();
    for (path, text) in rust_files() {
        for token in tokenize(&text).iter().filter(|it| it.kind == TokenKind::Word) {
            if words_of(&token.text).iter().any(|word| former.contains(word.as_str())) {
                found.push(format!("{}:{}: {}", path.display(), token.line, token.text));
            }
        }
    }
    assert_none(&found, "identifiers with former words");
}

#[test]
fn identifiers_are_split_into_words() {
    assert_eq!(words_of("UntoldNode"), ["untold", "node"]);
    assert_eq!(words_of("untold_nodes2"), ["untold", "nodes2"]);
    assert_eq!(words_of("MAX_DOORS"), ["max", "doors"]);
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
