//! The last gate before a terminal or a log.
//!
//! Text of services is made safe where it comes in
//! ([`crate::diagnostics::ServiceText`]). This filter covers all other printed
//! text: the topology file, a saved plan, other libraries' log messages.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::diagnostics::service_text::is_unsafe;
use crate::render::Style;

/// The text with every unsafe character as an escape that JSON reads back.
/// Line feeds and tabs stay, and in colored output the colors that stargate writes itself.
pub(crate) fn printable(text: &str, style: Style) -> Cow<'_, str> {
    let plain = |character: char| matches!(character, '\n' | '\t') || !is_unsafe(character);
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let color = color(rest).filter(|_| style == Style::Colored);
        let length = color.unwrap_or_else(|| character.len_utf8());
        if plain(character) || length > character.len_utf8() {
            safe.push_str(&rest[..length]);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
        rest = &rest[length..];
    }
    Cow::Owned(safe)
}

/// The length of a sequence that sets colors, as in `ESC [ 1 ; 31 m`.
fn color(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != ';')?;
    let is_color = rest[end..].starts_with('m') && rest[..end].split(';').all(is_visible);
    is_color.then_some(2 + end + 1)
}

/// Whether text stays legible after an attribute: a reset, an effect or a foreground color.
/// Concealed or reversed text and backgrounds could hide what follows.
fn is_visible(attribute: &str) -> bool {
    matches!(attribute.parse(), Ok(0..=4 | 22..=24 | 30..=37 | 39 | 90..=97_u8))
}

/// A writer of log lines. The log writes each event at once, so that a line
/// feed inside of it can only be part of a message.
pub(crate) struct LogWriter<W>(pub(crate) W, pub(crate) Style);

impl<W: Write> Write for LogWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let event = text.strip_suffix('\n');
        let mut line = printable(event.unwrap_or(&text), self.1).replace('\n', "\\n");
        if event.is_some() {
            line.push('\n');
        }
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_colors_pass() {
        let colored = |text| printable(text, Style::Colored).into_owned();
        assert_eq!(colored("\u{1b}[1;31mred\u{1b}[0m\n\tx"), "\u{1b}[1;31mred\u{1b}[0m\n\tx");
        assert_eq!(colored("\u{1b}[2J\u{9b}\u{202e}\r"), "\\u001b[2J\\u009b\\u202e\\u000d");
        assert_eq!(colored("\u{e0001}"), "\\udb40\\udc01");
        let json = format!("\"{}\"", colored("\u{202e}\u{e0001}"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), "\u{202e}\u{e0001}");
    }

    #[test]
    fn no_attribute_hides_the_text_behind_it() {
        for attributes in ["8", "7", "1;8", "41", "38;5;0", "107", ""] {
            let text = format!("\u{1b}[{attributes}mx");
            let escaped = format!("\\u001b[{attributes}mx");
            assert_eq!(printable(&text, Style::Colored), escaped);
        }
    }

    #[test]
    fn output_without_color_has_no_escapes() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m", Style::Plain), "\\u001b[31mred\\u001b[0m");
    }

    #[test]
    fn an_event_of_the_log_is_one_line() {
        let mut written = Vec::new();
        LogWriter(&mut written, Style::Plain).write_all(b"a\nERROR b\x1b]0;t\x07\n").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "a\\nERROR b\\u001b]0;t\\u0007\n");
    }
}
