//! Markdown that holds text of others: none of it becomes a mention, a link,
//! an image, a tag, a line of its own, or the end of a block.

/// Escapes text for a paragraph, a list or a cell, on one line. Code spans stay unchanged:
/// they contain no markup.
pub(super) fn escape(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut safe = String::with_capacity(line.len() + 16);
    let mut rest = line.as_str();
    while let Some(at) = rest.find('`') {
        escape_plain(&rest[..at], &mut safe);
        let run = run_of_backticks(&rest[at..]);
        let behind = &rest[at + run..];
        match closing_run(behind, run).map(|end| end + run) {
            Some(end) => {
                // A cell ends at a bar, in code too.
                safe.push_str(&rest[at..at + run]);
                safe.push_str(&behind[..end].replace('|', "\\|"));
                rest = &behind[end..];
            }
            // Backticks without their like are text, also beside other text with code.
            None => {
                safe.push_str(&"&#96;".repeat(run));
                rest = behind;
            }
        }
    }
    escape_plain(rest, &mut safe);
    safe
}

fn escape_plain(text: &str, safe: &mut String) {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '|' => safe.push_str("\\|"),
            ']' if matches!(next, Some('(' | '[')) => safe.push_str("\\]"),
            // Mentions, references to issues, and addresses, which a comment
            // interrupts without being shown.
            '@' => safe.push_str("@<!-- -->"),
            '#' if next.is_some_and(|next| next.is_ascii_alphanumeric()) => {
                safe.push_str("#<!-- -->");
            }
            ':' if next == Some('/') => safe.push_str(":<!-- -->"),
            '.' if ends_with_www(safe) => safe.push_str("<!-- -->."),
            _ => safe.push(character),
        }
    }
}

fn run_of_backticks(text: &str) -> usize {
    text.len() - text.trim_start_matches('`').len()
}

/// Where the next run of exactly so many backticks begins.
fn closing_run(text: &str, run: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let length = run_of_backticks(&text[at + found..]);
        if length == run {
            return Some(at + found);
        }
        at += found + length;
    }
    None
}

fn ends_with_www(text: &str) -> bool {
    let end = text.len().checked_sub(3).and_then(|at| text.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// A code span for any text.
pub(super) fn code(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match longest_run(&line) {
        0 => format!("`{line}`"),
        run => {
            let fence = "`".repeat(run + 1);
            format!("{fence} {line} {fence}")
        }
    }
}

/// A fence that no line of the blocks can end: longer than any run of backticks
/// in them, and at least three.
pub(super) fn fence<'a>(blocks: impl IntoIterator<Item = &'a str>) -> String {
    let longest = blocks.into_iter().map(longest_run).max().unwrap_or(0);
    "`".repeat(longest.saturating_add(1).max(3))
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_markup() {
        for (text, expected) in [
            ("@org/team", "@<!-- -->org/team"),
            ("![x](https://e.test/p.png)", "![x\\](https:<!-- -->//e.test/p.png)"),
            ("www.e.test fixes #12", "www<!-- -->.e.test fixes #<!-- -->12"),
            ("<img src=x>|\n# h", "&lt;img src=x&gt;\\| # h"),
            ("run `a | b @ <c>` now", "run `a \\| b @ <c>` now"),
            ("one ` and @a", "one &#96; and @<!-- -->a"),
            (
                "``` @a ` @b `` @c",
                "&#96;&#96;&#96; @<!-- -->a &#96; @<!-- -->b &#96;&#96; @<!-- -->c",
            ),
            ("``a ` @b`` @c", "``a ` @b`` @<!-- -->c"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }

    #[test]
    fn a_fence_is_longer_than_any_run() {
        assert_eq!(fence(["a", "b"]), "```");
        assert_eq!(fence(["a ```` b", "`"]), "`````");
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a``b\nc"), "``` a``b c ```");
    }
}
