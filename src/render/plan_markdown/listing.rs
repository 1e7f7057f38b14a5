//! Lists that stay below a size and count the omitted items.

use crate::render::markdown::{code, escape};
use crate::render::text::{counted, cut};

/// Characters of a name; Azure accepts up to 260, others more.
const MAX_NAME: usize = 120;

/// Characters of a sentence, before it is escaped.
const MAX_SENTENCE: usize = 500;

/// Bytes of the names in one line.
const MAX_NAMES_SIZE: usize = 2_000;

/// A name as code.
pub(super) fn name(text: &str) -> String {
    code(&cut(text, MAX_NAME))
}

/// A name of another system, as text.
pub(super) fn plain_name(text: &str) -> String {
    escape(&cut(text, MAX_NAME))
}

/// A sentence on one line.
pub(super) fn sentence(text: &str) -> String {
    escape(&cut(text.trim(), MAX_SENTENCE))
}

/// Up to `max` names as code, and how many more there are.
pub(super) fn names<'a, T: ToString + 'a>(all: impl IntoIterator<Item = T>, max: usize) -> String {
    let mut all = all.into_iter();
    let mut text = String::new();
    for (listed, one) in all.by_ref().enumerate() {
        let next = name(&one.to_string());
        let is_full = listed == max || text.len() + next.len() > MAX_NAMES_SIZE;
        if listed > 0 && is_full {
            return format!("{text} and {} more", all.count() + 1);
        }
        if listed > 0 {
            text.push_str(", ");
        }
        text.push_str(&next);
    }
    text
}

/// The items of a list in at most `max_size` bytes, and a line that counts the others;
/// empty without items.
pub(super) fn items(all: &[String], noun: &str, max_size: usize) -> String {
    let mut text = String::new();
    for (number, item) in all.iter().enumerate() {
        let line = format!("- {item}\n");
        if text.len() + line.len() > max_size {
            let left = counted(all.len() - number, &format!("more {noun}"));
            return format!("{text}- … and {left}\n\n");
        }
        text.push_str(&line);
    }
    if !all.is_empty() {
        text.push('\n');
    }
    text
}
