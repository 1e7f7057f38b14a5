//! Short forms of hosts' text for a line of a message.

use crate::diagnostics::ServiceText;

/// The most characters of a foreign text that a line shows.
const MAX_CHARS: usize = 80;

/// The text as a part of a line, cut after 80 characters.
pub fn line(text: &str) -> String {
    let mut displayed: String = text.chars().take(MAX_CHARS).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        displayed.push('…');
    }
    ServiceText::line(&displayed).into()
}

/// A text of several lines, whole.
pub fn text(text: &str) -> String {
    ServiceText::lines(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_characters() {
        let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}a\r\nb\t'c'\u{202e}\u{9b}31m";
        let displayed = text(hostile);
        assert_eq!(displayed, "\\u{1b}[2J\\u{1b}]0;title\\u{7}a\nb 'c'\\u{202e}\\u{9b}31m");
        assert!(!line(hostile).contains(char::is_control));
        assert_eq!(line(&"x".repeat(100)).chars().count(), MAX_CHARS + 1);
    }
}
