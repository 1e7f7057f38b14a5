//! Text layout: width, truncation, wrapping, counts and durations.

use std::time::Duration;

pub use crate::diagnostics::counted;

/// The maximum width of text in columns, on a terminal and in a log alike.
pub const WIDTH: usize = 80;

/// The width of a text without escapes, in columns.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// Truncates a text to a width, with an ellipsis at the end.
pub fn cut(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let kept: String = text.chars().take(to.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Breaks a text between words, and not within backquotes, so that a command can be copied
/// from one line. The first line begins with `first`, the others with `rest`; a word that
/// exceeds the width gets a line of its own, and a command that fits only on one of the
/// others begins there.
pub fn wrap(text: &str, first: &str, rest: &str) -> Vec<String> {
    wrap_to(WIDTH, text, first, rest)
}

/// Breaks a text as [`wrap`] does, at another width.
pub fn wrap_to(columns: usize, text: &str, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words(text, columns.saturating_sub(width(rest))) {
        let fits_below = width(rest) + width(&word) <= columns;
        if empty && width(&line) + width(&word) > columns && fits_below {
            lines.push(line.trim_end().to_owned());
            line = rest.to_owned();
        } else if !empty && width(&line) + 1 + width(&word) > columns {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// The words of a text; text between backquotes is one word if it fits on a line.
fn words(text: &str, columns: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut quoted: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let ends = word.matches('`').count() % 2 == 1;
        if quoted.is_empty() && !ends {
            found.push(word.to_owned());
            continue;
        }
        let is_closing = ends && !quoted.is_empty();
        quoted.push(word);
        if is_closing {
            let whole = quoted.join(" ");
            match width(&whole) <= columns {
                true => found.push(whole),
                false => found.extend(quoted.iter().map(ToString::to_string)),
            }
            quoted.clear();
        }
    }
    found.extend(quoted.into_iter().map(str::to_owned));
    found
}

/// Breaks the lines of a text that exceed the width, and leaves the others as they are.
/// The lines after a break are indented by two more columns.
pub fn wrap_lines(columns: usize, text: &str) -> String {
    let fit = |line: &str| match line.trim_end_matches('\n') {
        content if width(content) <= columns => line.to_owned(),
        content => {
            let indent = &content[..content.len() - content.trim_start().len()];
            let lines = wrap_to(columns, content, indent, &format!("{indent}  "));
            lines.join("\n") + &line[content.len()..]
        }
    };
    text.split_inclusive('\n').map(fit).collect()
}

/// A duration, such as `1.2 s` or `3 min 4 s`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        return format!("{} min {} s", seconds / 60, seconds % 60);
    }
    format!("{:.1} s", duration.as_secs_f64())
}

/// An estimated duration, such as `about 3 min`.
pub fn estimated(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("about {seconds} s"),
        _ => format!("about {} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_respects_the_width_in_characters() {
        assert_eq!(cut("übermäßig", 4), "übe…");
        assert_eq!(cut("über", 4), "über");
    }

    #[test]
    fn a_command_is_not_broken_unless_it_is_too_long() {
        let lines = wrap_to(16, "then run `a b c d` (or `x y`), `unclosed quote", "", "  ");
        assert_eq!(lines, ["then run", "  `a b c d` (or", "  `x y`),", "  `unclosed", "  quote"]);
        let lines = wrap_to(12, "run `a long command` now", "", "  ");
        assert_eq!(lines, ["run `a long", "  command`", "  now"]);
    }

    #[test]
    fn a_command_that_exceeds_the_first_line_begins_on_the_next() {
        let lines = wrap_to(16, "`a b c d e f` now", "    help: ", "  ");
        assert_eq!(lines, ["    help:", "  `a b c d e f`", "  now"]);
    }

    #[test]
    fn only_lines_that_exceed_the_width_are_broken() {
        let text = "  a   b\n\n  one two three four\nend";
        assert_eq!(wrap_lines(12, text), "  a   b\n\n  one two\n    three\n    four\nend");
    }

    #[test]
    fn only_a_single_word_may_exceed_the_width() {
        let long = "x".repeat(100);
        let lines = wrap(&format!("a {long} b"), "- ", "  ");
        assert_eq!(lines, ["- a".to_owned(), format!("  {long}"), "  b".to_owned()]);
    }
}
