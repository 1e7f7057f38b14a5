//! Checks that public items are used: `pub` hides unused code from the compiler.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::without_tests;
use crate::sources::production_sources;
use crate::tokens::{TokenKind, is_word as is_word_letter, tokenize};

/// Keywords that name an item, of which each must be used somewhere.
const ITEM_KEYWORDS: [&str; 6] = ["fn", "struct", "enum", "trait", "const", "type"];
/// Public items that only tests use, each with its reason.
const ALLOWED: [(&str, &str); 10] = [
    ("connected_nodes", "compares what a plan announced with what the sandbox carries"),
    ("events_since", "checks what a watch of the sandbox would have sent"),
    ("fail_next", "makes the sandbox fail a request"),
    ("kube_client", "reaches the sandbox without a socket"),
    ("reserve_address", "takes an address in the sandbox"),
    ("restore_key", "makes a used key of the sandbox valid again"),
    ("set_fault_injector", "makes the sandbox's requests fail"),
    ("set_tags", "undoes what others change on devices"),
    ("simulate_host_delays", "gives the sandbox's hosts the durations of real ones"),
    ("upsert", "puts an object into the sandbox"),
];

/// The words of a file's code without its tests, and those within its literals: serde
/// and `format!` name functions and constants there.
fn production_words(source: &str) -> Vec<String> {
    let tokens = tokenize(source).into_iter().filter(|token| token.kind != TokenKind::Comment);
    let (production, _) = without_tests(&tokens.map(|token| token.text).collect::<Vec<_>>());
    let split = |text: &String| -> Vec<String> {
        text.split(|it: char| !is_word_letter(it)).map(str::to_owned).collect()
    };
    production.iter().flat_map(split).collect()
}

/// The names of public items that a file defines.
fn public_items(words: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        // `pub`, perhaps with `crate` or `super`, and perhaps `const` or `async`.
        let is_public = words[at.saturating_sub(4)..at].iter().any(|before| before == "pub");
        let name = words.get(at + 1).filter(|name| !ITEM_KEYWORDS.contains(&name.as_str()));
        if is_public && ITEM_KEYWORDS.contains(&word.as_str()) {
            found.extend(name.cloned());
        }
    }
    found
}

fn unused(production: &[Vec<String>]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in production.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let items = production.iter().flat_map(|words| public_items(words));
    items.filter(|name| counts.get(name.as_str()) == Some(&1)).collect()
}

#[test]
fn public_items_have_users() {
    let production: Vec<_> =
        production_sources().values().map(|text| production_words(text)).collect();
    let allowed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let found: Vec<String> =
        unused(&production).into_iter().filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(found.is_empty(), "public items without a user: {found:?}");
}

#[test]
fn a_planted_unused_item_is_found() {
    let file = production_words(
        "pub(crate) const fn used() {}
pub async fn unused() { used() }
fn own() {}
         #[cfg(test)]
mod tests { fn test() { unused() } }",
    );
    assert_eq!(unused(std::slice::from_ref(&file)), ["unused"]);
}
