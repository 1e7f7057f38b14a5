//! Splits Rust source into tokens that remember their line.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An identifier, a keyword or a number.
    Word,
    /// One character of punctuation.
    Punctuation,
    /// A line or block comment, doc comments included.
    Comment,
    /// A string, byte string or character literal with its quotes.
    Literal,
}

/// One token of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) text: String,
    /// The line it begins on, counted from 1.
    pub(crate) line: usize,
}

/// Splits a source file into tokens, comments and literals included.
pub(crate) fn tokenize(source: &str) -> Vec<Token> {
    let letters: Vec<char> = source.chars().collect();
    let mut tokens: Vec<Token> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&letter) = letters.get(at) {
        let rest = &letters[at..];
        let (kind, length) = match trivia_or_literal(rest) {
            Some(found) => found,
            None if is_word(letter) => (TokenKind::Word, word_length(rest)),
            None => (TokenKind::Punctuation, 1),
        };
        if !letter.is_whitespace() {
            tokens.push(Token { kind, text: rest[..length].iter().collect(), line });
        }
        line += rest[..length].iter().filter(|letter| **letter == '\n').count();
        at += length;
    }
    tokens
}

/// The texts of words and punctuation, without comments.
pub(crate) fn code(tokens: &[Token]) -> Vec<String> {
    let is_code = |token: &&Token| matches!(token.kind, TokenKind::Word | TokenKind::Punctuation);
    tokens.iter().filter(is_code).map(|token| token.text.clone()).collect()
}

pub(crate) fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn word_length(rest: &[char]) -> usize {
    rest.iter().take_while(|letter| is_word(**letter)).count()
}

/// Recognises a comment or a literal at the beginning of the text, with its length.
fn trivia_or_literal(rest: &[char]) -> Option<(TokenKind, usize)> {
    let starts = |text: &str| text.chars().enumerate().all(|(at, it)| rest.get(at) == Some(&it));
    if starts("//") {
        let length = rest.iter().take_while(|letter| **letter != '\n').count();
        return Some((TokenKind::Comment, length));
    }
    if starts("/*") {
        return Some((TokenKind::Comment, block_comment_length(rest)));
    }
    let prefix = ["br", "b", "r"]
        .into_iter()
        .find(|prefix| starts(prefix) && matches!(rest.get(prefix.len()), Some('"' | '\'' | '#')));
    let body = &rest[prefix.map_or(0, str::len)..];
    let length = literal_length(body, prefix.is_some_and(|prefix| prefix.ends_with('r')))?;
    Some((TokenKind::Literal, prefix.map_or(0, str::len) + length))
}

fn literal_length(body: &[char], is_raw: bool) -> Option<usize> {
    let hashes = body.iter().take_while(|letter| **letter == '#').count();
    match body.get(hashes) {
        Some('"') if is_raw => Some(raw_length(body, hashes)),
        Some('"') if hashes == 0 => Some(quoted_length(body, '"')),
        // A lifetime has no second quote behind its first letter.
        Some('\'') if hashes == 0 => {
            let is_character = body.get(1) == Some(&'\\') || body.get(2) == Some(&'\'');
            is_character.then(|| quoted_length(body, '\''))
        }
        _ => None,
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_length(rest: &[char], hashes: usize) -> usize {
    let end: Vec<char> = std::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
    let body = &rest[hashes + 1..];
    let closed = body.windows(end.len()).position(|window| window == end.as_slice());
    closed.map_or(rest.len(), |at| hashes + 1 + at + end.len())
}

#[test]
fn tokens_keep_their_kind_and_line() {
    let source = "// a\nlet x = r#\"b\"c\"#; /* d\n */ 'e' fn<'f>() b\"g\"";
    let found: Vec<(TokenKind, String, usize)> =
        tokenize(source).into_iter().map(|it| (it.kind, it.text, it.line)).collect();
    let literal = |text: &str, line| (TokenKind::Literal, text.to_owned(), line);
    let comment = |text: &str, line| (TokenKind::Comment, text.to_owned(), line);
    for expected in [
        comment("// a", 1),
        literal("r#\"b\"c\"#", 2),
        comment("/* d\n */", 2),
        literal("'e'", 3),
        (TokenKind::Word, "f".to_owned(), 3),
        literal("b\"g\"", 3),
    ] {
        assert!(found.contains(&expected), "{expected:?} is missing in {found:?}");
    }
    assert!(found.iter().all(|(kind, text, _)| *kind != TokenKind::Punctuation || text.len() == 1));
}
