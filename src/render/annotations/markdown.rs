//! The errors of a command that could not be run as a comment on a pull request.

use crate::render::markdown::{code, escape};
use crate::render::plan_markdown::MAX_SIZE;
use crate::render::text::{counted, cut};

use super::{Annotation, AnnotationLevel, AnnotationReport};

/// Characters of a message, and of a remedy.
const MAX_TEXT: usize = 600;

/// Bytes reserved for the line that says how many results are left out.
const RESERVE: usize = 100;

impl AnnotationReport<'_> {
    /// The results as a list of at most [`MAX_SIZE`] bytes, the worst first.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "### `stargate {}` failed for {}\n\n**Nothing was compared with the topology.**\n\n",
            self.command,
            code(&cut(self.file_name, MAX_TEXT)),
        );
        for (number, one) in self.annotations.iter().enumerate() {
            let item = self.item(one);
            if text.len() + item.len() > MAX_SIZE - RESERVE {
                let left = counted(self.annotations.len() - number, "more result");
                text.push_str(&format!("- … and {left}\n"));
                break;
            }
            text.push_str(&item);
        }
        text
    }

    fn item(&self, one: &Annotation) -> String {
        let level = match one.level {
            AnnotationLevel::Error | AnnotationLevel::Unknown => "error",
            AnnotationLevel::Warning => "warning",
            AnnotationLevel::Note => "note",
        };
        let place = match &one.span {
            Some(_) => format!(" in line {}", self.region(one).start.0),
            None => String::new(),
        };
        let help = match one.remedy.as_str() {
            "" => String::new(),
            remedy => format!(" Help: {}.", escape(cut(remedy, MAX_TEXT).trim_end_matches('.'))),
        };
        let message = cut(one.message.trim(), MAX_TEXT);
        let message = escape(message.trim_end_matches('.'));
        format!("- **{level}**{place} ({}): {message}.{help}\n", one.rule.id)
    }
}
