//! The fields of one change.

use std::borrow::Cow;

use serde_json::Value;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{ChangeTag, DiffOp, group_diff_ops};

use crate::plan::Action;
use crate::plan::diff::FieldChange;

use super::super::style::Role;
use super::super::text::{WIDTH, counted, width};
use super::super::value::{KNOWN_AFTER_APPLY, NONE, one_line};
use super::Page;
use super::difference::{Part, around, parts};

/// The maximum number of lines for the fields of a creation.
const MAX_CREATION_LINES: usize = 7;

/// The maximum number of lines for a difference of lists or texts.
const MAX_DIFFERENCE_LINES: usize = 12;

/// Values are aligned behind paths up to this width.
const MAX_PATH_WIDTH: usize = 26;

/// Columns in front of a value with a sign.
const SIGNED_INDENT: usize = 10;

/// Digits of a digest that are shown.
const MAX_DIGEST: usize = 8;

/// The note on a field whose change forces a replacement.
const REPLACES: &str = "  # forces replacement";

impl Page {
    /// Adds the fields; creations and deletions show fewer of them.
    pub(super) fn fields(&mut self, action: Action, fields: &[FieldChange]) {
        let full = self.options.full;
        // The address of a deleted object says enough.
        if action == Action::Delete && !full {
            return;
        }
        let limit = if action == Action::Create && !full { MAX_CREATION_LINES } else { usize::MAX };
        let listed = if fields.len() > limit { limit - 1 } else { fields.len() };
        let widths = fields.iter().take(listed).map(|field| width(&field.path.to_string()));
        let column = widths.filter(|width| *width <= MAX_PATH_WIDTH).max().unwrap_or(0) + 1;
        for field in fields.iter().take(listed) {
            match action {
                Action::Create | Action::Delete => self.whole_field(field, column),
                Action::Update | Action::Replace | Action::Adopt | Action::Reboot => {
                    self.changed_field(field, column);
                }
            }
        }
        if listed < fields.len() {
            let more = format!("      and {}", counted(fields.len() - listed, "more field"));
            self.line(self.options.style.paint(Role::Quiet, more));
        }
    }

    fn whole_field(&mut self, field: &FieldChange, column: usize) {
        let value = match field.pending {
            true => KNOWN_AFTER_APPLY.to_owned(),
            false => {
                let value = field.after.as_ref().or(field.before.as_ref());
                one_line(value.map(|value| self.shortened(value)).as_deref())
            }
        };
        self.cut_line(None, &format!("      {:column$} {value}", format!("{}:", field.path)));
    }

    /// An Azure id without its common beginning.
    fn shortened<'a>(&self, value: &'a Value) -> Cow<'a, Value> {
        let id = value.as_str().filter(|text| text.starts_with("/subscriptions/"));
        let end = id.and_then(|id| {
            let mut slashes = id.rmatch_indices('/').map(|(at, _)| at);
            slashes.nth(1).map(|at| &id[at..])
        });
        match end {
            Some(end) if !self.options.full => Cow::Owned(Value::String(format!("…{end}"))),
            _ => Cow::Borrowed(value),
        }
    }

    fn changed_field(&mut self, field: &FieldChange, column: usize) {
        let behind = if field.forces_replacement { REPLACES } else { "" };
        if field.pending {
            let (path, before) = (format!("{}:", field.path), one_line(field.before.as_ref()));
            let line = format!("      {path:column$} {before} -> {KNOWN_AFTER_APPLY}");
            return self.cut_line(None, &(line + behind));
        }
        let parts = parts(field);
        let listed = self.differences_shown(parts.len());
        parts.iter().take(listed).for_each(|part| self.changed_part(part, column, behind));
        self.left_out(parts.len() - listed, "change");
    }

    fn changed_part(&mut self, part: &Part, column: usize, behind: &str) {
        let path = format!("{}:", part.path);
        let text = |value: &Option<Value>| {
            one_line(value.as_ref().map(|it| digest(&part.path, it)).as_deref())
        };
        let (before, after) = (text(&part.before), text(&part.after));
        if let (Some(Value::String(old)), Some(Value::String(new))) = (&part.before, &part.after)
            && (old.contains('\n') || new.contains('\n'))
        {
            self.line(format!("      {path}{behind}"));
            return self.text_difference(old, new);
        }
        // Without the alignment, the value may still fit on the line.
        let aligned = format!("      {path:column$} {before} -> {after}");
        let close = format!("      {path} {before} -> {after}");
        for line in [aligned, close] {
            if width(&line) + width(behind) <= WIDTH || self.options.full {
                return self.line(line + behind);
            }
        }
        self.line(format!("      {path}{behind}"));
        match (&part.before, &part.after) {
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.list_difference(old, new),
            (Some(Value::String(old)), Some(Value::String(new))) if !self.options.full => {
                // Two columns are for the quotes.
                let (old, new) = around(old, new, WIDTH - SIGNED_INDENT - 2);
                let text = |text: String| one_line(Some(&Value::String(text)));
                self.both(&text(old), &text(new));
            }
            _ => self.both(&before, &after),
        }
    }

    fn signed(&mut self, action: Action, text: &str) {
        let line = format!("        {} {text}", action.glyph());
        self.cut_line(Some(Role::Action(action)), &line);
    }

    /// Two values below each other, truncated around their difference; an absent one is
    /// omitted.
    fn both(&mut self, before: &str, after: &str) {
        let (before, after) = match self.options.full {
            true => (before.to_owned(), after.to_owned()),
            false => around(before, after, WIDTH - SIGNED_INDENT),
        };
        for (action, text) in [(Action::Delete, before), (Action::Create, after)] {
            if text != NONE {
                self.signed(action, &text);
            }
        }
    }

    /// Removed and added items; where only the order differs, both lists around the
    /// first difference.
    fn list_difference(&mut self, old: &[Value], new: &[Value]) {
        let removed =
            old.iter().filter(|item| !new.contains(item)).map(|item| (Action::Delete, item));
        let added =
            new.iter().filter(|item| !old.contains(item)).map(|item| (Action::Create, item));
        let differing: Vec<_> = removed.chain(added).collect();
        let text = |item: &Value| one_line(Some(item));
        match differing.as_slice() {
            [] => {
                let whole = |list: &[Value]| one_line(Some(&Value::Array(list.to_vec())));
                self.both(&whole(old), &whole(new));
            }
            [(Action::Delete, before), (Action::Create, after)] => {
                self.both(&text(before), &text(after));
            }
            _ => {
                let listed = self.differences_shown(differing.len());
                for (action, item) in &differing[..listed] {
                    self.signed(*action, &text(item));
                }
                self.left_out(differing.len() - listed, "item");
            }
        }
    }

    /// A line diff with one line of context.
    fn text_difference(&mut self, old: &str, new: &str) {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let new: Vec<&str> = new.split_inclusive('\n').collect();
        let mut lines = Vec::new();
        for (index, group) in group_diff_ops(difference(&old, &new), 1).iter().enumerate() {
            if index > 0 {
                lines.push((None, "        …".to_owned()));
            }
            for change in group.iter().flat_map(|operation| operation.iter_changes(&*old, &*new)) {
                let (role, sign) = match change.tag() {
                    ChangeTag::Delete => (Some(Role::Action(Action::Delete)), '-'),
                    ChangeTag::Insert => (Some(Role::Action(Action::Create)), '+'),
                    ChangeTag::Equal => (None, ' '),
                };
                let text = printable(change.value());
                lines.push((role, format!("        {sign} {text}").trim_end().to_owned()));
            }
        }
        let listed = self.differences_shown(lines.len());
        for (role, line) in &lines[..listed] {
            self.cut_line(*role, line);
        }
        self.left_out(lines.len() - listed, "line");
    }

    fn differences_shown(&self, all: usize) -> usize {
        if self.options.full || all <= MAX_DIFFERENCE_LINES {
            all
        } else {
            MAX_DIFFERENCE_LINES - 1
        }
    }

    fn left_out(&mut self, count: usize, noun: &str) {
        if count > 0 {
            let more = format!("        and {}", counted(count, &format!("more {noun}")));
            self.line(self.options.style.paint(Role::Quiet, more));
        }
    }
}

/// The edits that make the old lines the new ones. The crate's text API would do,
/// but it instantiates each of its algorithms many times over.
fn difference(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let mut edits = Compact::new(Replace::new(Capture::new()), old, new);
    let Ok(()) = myers::diff(&mut edits, old, 0..old.len(), new, 0..new.len());
    edits.into_inner().into_inner().into_ops()
}

/// A value without most of its digits if it is the digest of a profile: it shows only that
/// the settings differ.
fn digest<'a>(path: &str, value: &'a Value) -> Cow<'a, Value> {
    match value.as_str().filter(|_| path == "profile_digest") {
        Some(text) if text.len() > MAX_DIGEST => {
            Cow::Owned(Value::String(format!("{}…", text.get(..MAX_DIGEST).unwrap_or(text))))
        }
        _ => Cow::Borrowed(value),
    }
}

/// A line without control characters.
fn printable(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let escape = |character: char| match character {
        '\t' => "    ".to_owned(),
        character if character.is_control() => character.escape_default().to_string(),
        character => character.to_string(),
    };
    line.chars().map(escape).collect()
}
