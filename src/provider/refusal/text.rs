//! Names in the text of errors, of which only what Azure can name becomes part of a command.

/// The text between the first `start` and the next `end`.
pub(super) fn between<'a>(message: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(start)?;
    rest.split_once(end).map(|(text, _)| text)
}

pub(super) fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    between(message, start, "'")
}

/// The text, if it is a region, an identity, a namespace, an action or a number: one word
/// for a shell.
pub(super) fn word(text: &str) -> Option<&str> {
    identifier(text).filter(|text| !text.contains(['(', ')']))
}

/// The text, if it is an id: one word for a shell between quotes, because names of resource
/// groups may have parentheses.
pub(super) fn identifier(text: &str) -> Option<&str> {
    const MAX_LENGTH: usize = 512;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/._-()".contains(c);
    let is_valid = !text.is_empty() && text.len() <= MAX_LENGTH && text.chars().all(is_allowed);
    (is_valid && !text.starts_with('-')).then_some(text)
}

/// A title that can stand in backticks, on one line.
pub(super) fn title(text: &str) -> Option<&str> {
    const MAX_LENGTH: usize = 128;
    let is_valid = !text.is_empty() && text.len() <= MAX_LENGTH;
    (is_valid && !text.contains(|c: char| c == '`' || c.is_control())).then_some(text)
}

/// Words, as in `standardDSv3Family Cores`.
pub(super) fn is_title(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == ' ';
    !text.is_empty() && text.len() <= 80 && text.chars().all(is_allowed)
}

/// The name that the text begins with.
pub(super) fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// The segment of an id after the one of that name.
pub(super) fn segment_after<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next().filter(|segment| !segment.is_empty())
}
