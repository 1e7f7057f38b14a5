//! One concept, one name: no two types that modules share have the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::imports::without_tests;
use crate::sources::production_sources;
use crate::tokens::{TokenKind, tokenize};

/// Keywords that define a type's name.
const TYPE_KEYWORDS: [&str; 4] = ["struct", "enum", "trait", "type"];

/// Names of two types, of which one build has one.
const ALLOWED: [(&str, &str); 1] =
    [("Sandbox", "with the feature `sandbox`, and the refusal without it")];

/// The types that a file defines for the whole crate: `pub` or `pub(crate)`.
fn public_types(source: &str) -> BTreeSet<String> {
    let tokens = tokenize(source).into_iter().filter(|token| token.kind != TokenKind::Comment);
    let (tokens, _) = without_tests(&tokens.map(|token| token.text).collect::<Vec<_>>());
    let mut found = BTreeSet::new();
    for (at, word) in tokens.iter().enumerate() {
        let before = |count: usize| tokens[..at].iter().rev().take(count).rev();
        let is_public = before(1).eq(["pub"]) || before(4).eq(["pub", "(", "crate", ")"]);
        if is_public && TYPE_KEYWORDS.contains(&word.as_str()) {
            // A macro names its types later.
            found.extend(tokens.get(at + 1).filter(|name| *name != "$").cloned());
        }
    }
    found
}

/// The names that several files define, with these files.
fn shared_names<'s>(
    sources: impl IntoIterator<Item = (&'s Path, &'s str)>,
) -> BTreeMap<String, Vec<&'s Path>> {
    let mut definitions: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for (path, text) in sources {
        for name in public_types(text) {
            definitions.entry(name).or_default().push(path);
        }
    }
    definitions.retain(|_, files| files.len() > 1);
    definitions
}

#[test]
fn public_types_have_names_of_their_own() {
    let sources = production_sources();
    let mut shared = shared_names(sources.iter().map(|(path, text)| (&**path, text.as_str())));
    for (name, reason) in ALLOWED {
        assert!(shared.remove(name).is_some(), "{name} ({reason}) is defined once");
    }
    assert!(shared.is_empty(), "{shared:#?}");
}

#[test]
fn a_name_of_two_public_types_is_found() {
    let own = "pub struct Route; pub(super) enum Gate {} struct Plan;";
    let others = "pub(crate) trait Route {} pub struct Gate; pub struct Plan;";
    let files = [(Path::new("a.rs"), own), (Path::new("b.rs"), others)];
    let found = shared_names(files);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Route"]);
}
