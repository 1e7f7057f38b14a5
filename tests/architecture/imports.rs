//! The paths that a source file names, resolved from the module that it is.

use std::collections::BTreeSet;

use crate::tokens::is_word;

/// Removes items under `#[cfg(test)]`, and returns the removed modules that are
/// files of their own.
pub(crate) fn without_tests(tokens: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut files) = (Vec::new(), BTreeSet::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(marker.len()).eq(marker) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += marker.len();
        let (mut depth, start) = (0_u32, at);
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "{" | "[" | "(" => depth += 1,
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(token.as_str(), "}" | ";") {
                break;
            }
        }
        let item = &tokens[start..at];
        if let Some(place) = item.iter().position(|token| token == "mod")
            && item.last().is_some_and(|last| last == ";")
        {
            files.extend(item.get(place + 1).cloned());
        }
    }
    (kept, files)
}

/// Every path that the tokens name, resolved from the module that they are in,
/// and the keywords of async code.
pub(crate) fn paths(tokens: &[String], module: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut inner, mut depth): (Vec<(String, u32)>, u32) = (Vec::new(), 0);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = |ahead: usize| tokens.get(at + ahead).map(String::as_str);
        match token.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inner.retain(|(_, opened)| *opened < depth);
            }
            "mod" if next(2) == Some("{") => {
                inner.push((next(1).unwrap_or_default().to_owned(), depth));
            }
            _ => {}
        }
        let here = || module.iter().cloned().chain(inner.iter().map(|(name, _)| name.clone()));
        if token == "use" || (is_path_start(tokens, at) && next(1) == Some(":")) {
            at += usize::from(token == "use");
            at = tree(tokens, at, &here().collect::<Vec<_>>(), &[], token == "use", &mut found);
        } else {
            if matches!(token.as_str(), "async" | "await") {
                found.insert(token.clone());
            }
            at += 1;
        }
    }
    found
}

fn is_path_start(tokens: &[String], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].as_str());
    let continues = |token: &str| token.starts_with(is_word) || token == ">";
    let follows_path = before(1) == Some(".")
        || (before(1) == Some(":") && before(2) == Some(":") && before(3).is_some_and(continues));
    tokens[at].starts_with(is_word)
        && !follows_path
        && tokens.get(at + 1..at + 3).is_some_and(|two| two == [":", ":"])
}

/// Reads one path or, in a `use`, one tree of paths; returns where it ends.
fn tree(
    tokens: &[String],
    mut at: usize,
    module: &[String],
    prefix: &[String],
    braces: bool,
    found: &mut BTreeSet<String>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            ":" => at += 1,
            "{" if braces => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = tree(tokens, at, module, &path, true, found);
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                return at + 1;
            }
            "as" if braces => at += 2,
            word if word.starts_with(is_word) => {
                path.push(word.to_owned());
                at += 1;
                if tokens.get(at).is_none_or(|next| next != ":" && next != "as") {
                    break;
                }
                let continues = tokens.get(at + 1).is_some_and(|next| next == ":");
                if tokens[at] == ":" && !continues {
                    break;
                }
            }
            "*" if braces => {
                at += 1;
                break;
            }
            _ => break,
        }
    }
    found.insert(resolve(&path, module));
    at
}

/// Makes a path absolute: from `crate`, or from the external crate it begins with.
fn resolve(path: &[String], module: &[String]) -> String {
    let mut base: Vec<String> = match path.first().map(String::as_str) {
        Some("crate" | "super" | "self") => std::iter::once("crate".to_owned()).collect(),
        _ => Vec::new(),
    };
    if matches!(path.first().map(String::as_str), Some("super" | "self")) {
        base.extend(module.iter().cloned());
    }
    for word in path {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            word => base.push(word.to_owned()),
        }
    }
    base.join("::")
}
