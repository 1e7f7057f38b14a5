//! Documentation and test names begin with a noun or a verb, not with a relative clause
//! such as "What was read".

use crate::sources::read_rust;

const CLAUSES: [&str; 3] = ["What", "Who", "Whose"];
const QUALIFIERS: [&str; 2] = ["async", "const"];

/// The text of a line of documentation.
fn documentation(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "))
}

/// Whether a text begins with a clause in the place of a subject.
fn begins_with_clause(text: &str) -> bool {
    let first = text.split(|letter: char| !letter.is_alphabetic()).next();
    first.is_some_and(|word| CLAUSES.contains(&word))
}

/// The name of the function that a line defines.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let keyword = words.find(|word| !word.starts_with("pub") && !QUALIFIERS.contains(word));
    words.next().filter(|_| keyword == Some("fn"))
}

/// Whether a line defines a function with such a name.
fn is_named_by_clause(line: &str) -> bool {
    let word = function_name(line).and_then(|name| name.split_once('_')).map(|(word, _)| word);
    word.is_some_and(|word| CLAUSES.iter().any(|clause| clause.eq_ignore_ascii_case(word)))
}

/// The lines of a source that begin documentation or a name with a clause.
fn clauses(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (number, line) in source.lines().enumerate() {
        let text = documentation(line);
        let opens = !is_inside && text.is_some_and(begins_with_clause);
        if opens || (text.is_none() && is_named_by_clause(line)) {
            found.push(format!("{}: {}", number + 1, line.trim()));
        }
        is_inside = text.is_some();
    }
    found
}

#[test]
fn documentation_begins_with_a_subject_or_a_verb() {
    let files = ["src", "tests", "benches"].into_iter().flat_map(read_rust);
    let found: Vec<String> = files
        .flat_map(|(path, text)| {
            clauses(&text).into_iter().map(move |it| format!("{}:{it}", path.display()))
        })
        .collect();
    assert!(found.is_empty(), "{} relative clauses:\n{}\n", found.len(), found.join("\n"));
}

#[test]
fn planted_clauses_are_found() {
    let source = "/// What was read.\n/// What follows is no opening.\nfn whose_it_is() {}\n\
                  /// Whatever is read.\nfn whole() {}\n";
    assert_eq!(clauses(source), ["1: /// What was read.", "3: fn whose_it_is() {}"]);
}
