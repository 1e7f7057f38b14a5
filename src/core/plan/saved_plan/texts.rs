//! Texts that occur more than once, by number.
//!
//! `@7` is the text of index 7 in the table (counted from 0), and `@7/name` is that text
//! followed by `/name`: IDs and addresses share all but their last segment with many
//! others. A text that begins with `@` gets a second one.

use std::collections::HashMap;

use serde_json::Value;

/// A shorter text is not worth a number.
const MIN_LENGTH: usize = 8;

/// Counts texts, for the table.
#[derive(Default)]
pub(super) struct TextCounts {
    /// How often each occurs, and when it did first.
    found: HashMap<String, (u32, usize)>,
}

impl TextCounts {
    /// Counts the texts in a value.
    pub(super) fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(map) => map.values().for_each(|value| self.add(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        for text in [Some(text), front(text)].into_iter().flatten() {
            if text.len() < MIN_LENGTH {
                continue;
            }
            let first = self.found.len();
            match self.found.get_mut(text) {
                Some((count, _)) => *count += 1,
                None => {
                    self.found.insert(text.to_owned(), (1, first));
                }
            }
        }
    }

    /// The table of those that occur more than once.
    pub(super) fn table(self) -> Table {
        let repeated = self.found.into_iter().filter(|(_, (count, _))| *count > 1);
        let mut texts: Vec<(usize, String)> =
            repeated.map(|(text, (_, first))| (first, text)).collect();
        texts.sort_unstable();
        let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
        Table {
            numbers: texts.iter().enumerate().map(|(at, text)| (text.clone(), at)).collect(),
            texts,
        }
    }
}

/// The text before the last segment.
fn front(text: &str) -> Option<&str> {
    text.rsplit_once('/').map(|(front, _)| front)
}

/// The texts that occur more than once.
#[derive(Default)]
pub(super) struct Table {
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Table {
    /// A table as it was read.
    pub(super) fn of(texts: Vec<String>) -> Self {
        Self { texts, numbers: HashMap::new() }
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Puts numbers in place of texts.
    pub(super) fn shorten(&self, value: &mut Value) {
        each_text(value, &mut |text| {
            *text = self.short(text);
            Some(())
        });
    }

    fn short(&self, text: &str) -> String {
        if let Some(number) = self.numbers.get(text) {
            return format!("@{number}");
        }
        let numbered = text.rsplit_once('/').and_then(|(front, name)| {
            self.numbers.get(front).map(|number| format!("@{number}/{name}"))
        });
        match numbered {
            Some(short) => short,
            None if text.starts_with('@') => format!("@{text}"),
            None => text.to_owned(),
        }
    }

    /// Puts texts in place of numbers; `None` where a number is in no table.
    pub(super) fn lengthen(&self, value: &mut Value) -> Option<()> {
        each_text(value, &mut |text| {
            *text = self.long(text)?;
            Some(())
        })
    }

    fn long(&self, text: &str) -> Option<String> {
        let Some(reference) = text.strip_prefix('@') else { return Some(text.to_owned()) };
        if reference.starts_with('@') {
            return Some(reference.to_owned());
        }
        let (number, name) = match reference.split_once('/') {
            Some((number, name)) => (number, Some(name)),
            None => (reference, None),
        };
        let front = self.texts.get(number.parse::<usize>().ok()?)?;
        Some(name.map_or_else(|| front.clone(), |name| format!("{front}/{name}")))
    }
}

fn each_text(value: &mut Value, change: &mut impl FnMut(&mut String) -> Option<()>) -> Option<()> {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().try_for_each(|value| each_text(value, change)),
        Value::Object(map) => map.values_mut().try_for_each(|value| each_text(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shortened_texts_are_restored() {
        let original = json!({
            "ids": ["/subscriptions/s/a", "/subscriptions/s/b", "/subscriptions/s"],
            "same": ["a long text", "a long text"],
            "short": ["x", "x", "/", "//", "@", "@@0", "@0/x", ""],
        });
        let mut counts = TextCounts::default();
        counts.add(&original);
        let table = counts.table();
        let mut value = original.clone();
        table.shorten(&mut value);
        assert_eq!(value["ids"], json!(["@0/a", "@0/b", "@0"]));
        assert_eq!(value["same"], json!(["@1", "@1"]));
        assert_eq!(value["short"], json!(["x", "x", "/", "//", "@@", "@@@0", "@@0/x", ""]));
        let table = Table::of(table.texts().to_vec());
        assert_eq!(table.lengthen(&mut value), Some(()));
        assert_eq!(value, original);
    }

    #[test]
    fn a_reference_to_a_missing_text_is_refused() {
        for text in ["@0", "@x", "@/a", "@1/a"] {
            assert_eq!(Table::of(Vec::new()).lengthen(&mut json!([text])), None, "{text}");
        }
    }
}
