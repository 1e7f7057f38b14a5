//! What is public has a user: `pub` hides unused code from the compiler.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{production_sources, read_rust};
use crate::tokens::{TokenKind, is_word as is_word_letter, tokenize};

/// Keywords that name an item, of which each must be used somewhere.
const ITEM_KEYWORDS: [&str; 6] = ["fn", "struct", "enum", "trait", "const", "type"];
/// Public items that have no user in the repository, each with its reason.
const ALLOWED: [(&str, &str); 0] = [];

/// The words of a file's code, and those within its literals: serde and `format!`
/// name functions and constants there.
fn words(source: &str) -> Vec<String> {
    let tokens = tokenize(source).into_iter();
    let is_word = |kind| matches!(kind, TokenKind::Word | TokenKind::Literal);
    let words = tokens.filter(|token| is_word(token.kind));
    let split =
        |text: &str| text.split(|it: char| !is_word_letter(it)).map(str::to_owned).collect();
    words.flat_map(|token| -> Vec<String> { split(&token.text) }).collect()
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

fn unused(production: &[Vec<String>], all: &[Vec<String>]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in all.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let items = production.iter().flat_map(|words| public_items(words));
    items.filter(|name| counts.get(name.as_str()) == Some(&1)).collect()
}

#[test]
fn public_items_have_users() {
    let production: Vec<_> = production_sources().values().map(|text| words(text)).collect();
    let folders = ["src", "tests", "benches"].into_iter().flat_map(read_rust);
    let all: Vec<_> = folders.map(|(_, text)| words(&text)).collect();
    let allowed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let found: Vec<String> = unused(&production, &all)
        .into_iter()
        .filter(|name| !allowed.contains(name.as_str()))
        .collect();
    assert!(found.is_empty(), "public items without a user: {found:?}");
}

#[test]
fn a_planted_unused_item_is_found() {
    let file =
        words("pub(crate) const fn used() {}\npub async fn unused() { used() }\nfn own() {}");
    assert_eq!(unused(std::slice::from_ref(&file), std::slice::from_ref(&file)), ["unused"]);
}
