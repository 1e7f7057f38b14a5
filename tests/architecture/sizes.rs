//! Files have one responsibility and functions fit on a screen.

use crate::sources::{production_sources, read_rust};
use crate::tokens::{Token, TokenKind, tokenize};

/// A source file has at most this many lines.
const MAX_FILE_LINES: usize = 400;
/// Nine functions of ten have at most this many lines, signature included.
const MAX_FUNCTION_LINES_P90: usize = 25;

#[test]
fn files_are_short() {
    let too_long = |(path, text): (std::path::PathBuf, String)| {
        let lines = text.lines().count();
        (lines > MAX_FILE_LINES).then(|| format!("{}: {lines}", path.display()))
    };
    let files = read_rust("src").into_iter().chain(read_rust("tests"));
    let found: Vec<String> = files.filter_map(too_long).collect();
    assert!(found.is_empty(), "more than {MAX_FILE_LINES} lines:\n{}\n", found.join("\n"));
}

/// The number of lines of each function with a body.
fn function_lengths(tokens: &[Token]) -> Vec<usize> {
    let code: Vec<&Token> = tokens
        .iter()
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Punctuation))
        .collect();
    let starts = (0..code.len()).filter(|at| {
        code[*at].text == "fn" && code.get(at + 1).is_some_and(|it| it.kind == TokenKind::Word)
    });
    starts.filter_map(|start| function_length(&code, start)).collect()
}

fn function_length(code: &[&Token], start: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for token in &code[start..] {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return Some(token.line - code[start].line + 1),
            "}" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn functions_are_short() {
    let files = production_sources();
    let mut lengths: Vec<usize> =
        files.values().flat_map(|text| function_lengths(&tokenize(text))).collect();
    lengths.sort_unstable();
    let (p90, p99) = (lengths[lengths.len() * 9 / 10], lengths[lengths.len() * 99 / 100]);
    println!(
        "{} functions: p90 {p90} lines, p99 {p99}, longest {:?}",
        lengths.len(),
        lengths.last()
    );
    assert!(p90 <= MAX_FUNCTION_LINES_P90, "p90 of function lengths is {p90} lines");
}

#[test]
fn function_lengths_count_lines() {
    let source = "trait A { fn b(); }\nfn c() { d({ 1 }) }\nfn e(\n) -> u8 {\n    1\n}\n";
    assert_eq!(function_lengths(&tokenize(source)), [1, 4]);
}
