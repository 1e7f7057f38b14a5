//! Text that stargate did not write: names, messages and codes that services
//! and hosts answer.
//!
//! Such text reaches terminals, logs, pull-request comments and pictures. The
//! constructors of [`ServiceText`] are the only way in, and none of them lets a
//! character through that could move a cursor, hide or reorder its neighbours,
//! or begin a line of its own.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// The longest message that is kept, in characters. Services explain
/// themselves in a few sentences; a proxy's error page does not.
const MAX_MESSAGE: usize = 4_096;

/// Text from a service or a host, safe to print.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct ServiceText(String);

impl ServiceText {
    /// A name, an id or another value on one line. Unsafe characters become
    /// escapes such as `\u{1b}` and `\n`, so that different texts stay different.
    pub fn line(text: &str) -> Self {
        Self(escape(text, Breaks::Escape).into_owned())
    }

    /// Sentences on one line: white space becomes a single space, other unsafe
    /// characters become escapes. Cut after 4,096 characters.
    pub fn message(text: &str) -> Self {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut = match words.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        };
        Self::line(&cut)
    }

    /// Several lines, such as a command's output: line feeds stay, carriage
    /// returns go, tabs become spaces, other unsafe characters become escapes.
    pub fn lines(text: &str) -> Self {
        let text = text.replace('\r', "").replace('\t', " ");
        Self(escape(&text, Breaks::Keep).into_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl From<ServiceText> for String {
    fn from(text: ServiceText) -> Self {
        text.0
    }
}

/// The treatment of line feeds and tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// They become `\n` and `\t`.
    Escape,
    /// They stay: the text is compared with text of stargate's own.
    Keep,
}

/// Whether a character may not be printed as it is: controls (C0, DEL, C1),
/// bidirectional and other invisible formatting, and separators of lines.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with unsafe characters escaped; borrowed if it has no such characters.
fn escape(text: &str, breaks: Breaks) -> Cow<'_, str> {
    let harmful = |character: char| {
        is_unsafe(character) && (breaks == Breaks::Escape || !matches!(character, '\n' | '\t'))
    };
    if !text.chars().any(harmful) {
        return defuse(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' if harmful(character) => safe.push_str("\\n"),
            '\t' if harmful(character) => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            // `escape_debug` would not escape all of them.
            other if harmful(other) => safe.extend(other.escape_unicode()),
            other => safe.push(other),
        }
    }
    Cow::Owned(defuse(&safe).into_owned())
}

/// The first character of a continuous integration system's command as an
/// escape: `::error::` of GitHub's, at the beginning of a line, and `##[error]`
/// and `##vso[…]`, anywhere. No name or address looks like either.
fn defuse(text: &str) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##") {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for (at, character) in text.char_indices() {
        match character {
            ':' if is_workflow_command(&text[at..]) => safe.push_str("\\u{3a}"),
            '#' if text[at..].starts_with("##[") || text[at..].starts_with("##vso[") => {
                safe.push_str("\\u{23}");
            }
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

/// Whether the text begins as in `::name key=value::`.
fn is_workflow_command(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("::") else { return false };
    rest.starts_with(|it: char| it.is_ascii_alphabetic()) && rest.contains("::")
}

/// Makes every key and every string of a service's JSON safe to print, in place.
pub fn make_safe(value: &mut Value, breaks: Breaks) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(safe) = escape(text, breaks) {
                *text = safe;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| make_safe(item, breaks)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| make_safe(field, breaks));
            if fields.keys().any(|key| key.chars().any(is_unsafe)) {
                *fields = safe_keys(std::mem::take(fields));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn safe_keys(fields: Map<String, Value>) -> Map<String, Value> {
    let safe = |(key, field): (String, Value)| (String::from(ServiceText::line(&key)), field);
    fields.into_iter().map(safe).collect()
}

/// A refusal's body with its sentences safe to print, whether it is JSON or not.
pub fn safe_refusal(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            make_messages(&mut value);
            value.to_string().into_bytes()
        }
        Err(_) => String::from(ServiceText::message(&String::from_utf8_lossy(body))).into_bytes(),
    }
}

fn make_messages(value: &mut Value) {
    match value {
        Value::String(text) => *text = ServiceText::message(text).into(),
        Value::Array(items) => items.iter_mut().for_each(make_messages),
        Value::Object(fields) => {
            fields.values_mut().for_each(make_messages);
            *fields = safe_keys(std::mem::take(fields));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\r\nb\t\u{202e}\u{9b}31m\u{2028}\u{200b}'\"";

    #[test]
    fn one_line_has_no_unsafe_character() {
        for text in [ServiceText::line(HOSTILE), ServiceText::message(HOSTILE)] {
            assert!(!text.as_str().chars().any(is_unsafe), "{text}");
        }
        let line = ServiceText::line("a\u{1b}[2J\r\nb");
        assert_eq!(line.as_str(), "a\\u{1b}[2J\\r\\nb");
        assert_eq!(ServiceText::message(" a\r\n  b ").as_str(), "a b");
        assert_eq!(ServiceText::message(&"x".repeat(9_999)).as_str().chars().count(), 4_097);
    }

    #[test]
    fn only_line_breaks_are_kept() {
        let text = ServiceText::lines(HOSTILE);
        assert!(text.as_str().chars().all(|it| it == '\n' || !is_unsafe(it)), "{text}");
        assert_eq!(text.as_str().lines().count(), 2);
    }

    #[test]
    fn keys_and_strings_are_escaped_and_the_rest_is_kept() {
        let mut value = json!({ "k\u{1b}": ["\u{202e}", { "a": "x\ny" }], "n": 1 });
        make_safe(&mut value, Breaks::Escape);
        assert_eq!(value, json!({ "k\\u{1b}": ["\\u{202e}", { "a": "x\\ny" }], "n": 1 }));
        let mut value = json!("x\ny\u{7}");
        make_safe(&mut value, Breaks::Keep);
        assert_eq!(value, json!("x\ny\\u{7}"));
    }

    #[test]
    fn workflow_commands_are_escaped() {
        for (text, expected) in [
            ("::error::x", "\\u{3a}:error::x"),
            ("a ::set-output name=b::c", "a \\u{3a}:set-output name=b::c"),
            ("##[error]x ##vso[task]", "\\u{23}#[error]x \\u{23}#vso[task]"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ("# # a::b", "# # a::b"),
        ] {
            assert_eq!(ServiceText::line(text).as_str(), expected);
        }
    }

    #[test]
    fn letters_of_every_script_are_kept() {
        for text in ["Zürich", "東京", "القاهرة", "a-b_c.d/e:f"] {
            assert_eq!(ServiceText::line(text).as_str(), text);
        }
    }
}
