//! The reference documentation of the topology file, from its schema and the table of
//! changes.

use std::fmt::Write as _;

use super::changes::{ChangeOutcome, ChangeRule, block_rules, field_rules};
use super::fields::{TopologyField, fields};

const HEAD: &str = "# Reference of the topology file\n\nGenerated from the schema and from the \
                    table of changes; do not edit it. `STARGATE_UPDATE=1 cargo test --test \
                    topology` writes it.\n\n`stargate explain FIELD` prints the entry of one \
                    field, such as `stargate explain cluster.pod_cidr`.\n\n## Changes\n\nEach \
                    field lists the effects of a change of its value after the topology was \
                    applied. One apply makes all accepted changes. The outcomes are:\n\n| outcome \
                    | meaning |\n| --- | --- |\n";

/// The text of `REFERENCE.md`.
pub fn reference_text() -> String {
    let mut text = HEAD.to_owned();
    for (outcome, meaning) in ChangeOutcome::LEGEND {
        line(&mut text, format_args!("| {outcome} | {meaning} |"));
    }
    line(
        &mut text,
        format_args!("\nThe sources are the documentation of the services.\n\n## Fields"),
    );
    let mut table = String::new();
    for field in fields() {
        let (parent, key) = field.path.rsplit_once('.').unwrap_or(("", &field.path));
        if parent != table {
            table = parent.to_owned();
            line(&mut text, format_args!("\n### {}", header(parent)));
        }
        line(&mut text, format_args!("\n#### `{key}`\n\n{}", entry(&field)));
    }
    line(&mut text, format_args!("\n## Tables that are removed, moved or renamed\n"));
    let rules: Vec<&ChangeRule> = block_rules().collect();
    line(&mut text, format_args!("{}", table_of(&rules, true)));
    text.trim_end().to_owned() + "\n"
}

/// The entry of a field: its type, default and description, and the effects of its changes.
pub fn entry(field: &TopologyField) -> String {
    let mut facts = vec![field.value_type.clone()];
    facts.extend(field.unit.as_ref().map(|unit| format!("in {unit}")));
    facts.push(match (&field.default, field.required) {
        (Some(default), _) => format!("default `{default}`"),
        (None, true) => "required".to_owned(),
        (None, false) => "optional".to_owned(),
    });
    let rules: Vec<&ChangeRule> =
        field_rules().filter(|rule| rule.field == field.path.as_str()).collect();
    format!("{}.\n\n{}\n\n{}", facts.join("; "), field.description, table_of(&rules, false))
}

/// The header of the table that holds a field, in TOML.
fn header(path: &str) -> String {
    let named = path.replace(".*", ".<name>");
    match named.strip_suffix("[]") {
        Some(items) => format!("`[[{items}]]`"),
        None => format!("`[{named}]`"),
    }
}

fn table_of(rules: &[&ChangeRule], is_of_blocks: bool) -> String {
    let has_kinds = rules.iter().any(|rule| !rule.kinds.is_empty());
    let mut columns = vec!["change", "outcome", "what happens", "source"];
    columns.splice(
        0..0,
        is_of_blocks.then_some("table").into_iter().chain(has_kinds.then_some("kind")),
    );
    let mut text = row(columns.iter().map(|column| (*column).to_owned()));
    text += &row(columns.iter().map(|_| "---".to_owned()));
    for rule in rules {
        let kinds: Vec<&str> = rule.kinds.iter().map(|kind| kind.as_str()).collect();
        let block = if rule.field.starts_with('`') {
            rule.field.to_owned()
        } else {
            format!("`{}`", rule.field)
        };
        let cells = [rule.change.to_owned(), rule.outcome.words()];
        let cells = cells.into_iter().chain([effect(rule), rule.source.to_owned()]);
        let block = is_of_blocks.then_some(block).into_iter();
        text += &row(block.chain(has_kinds.then(|| kinds.join(", "))).chain(cells));
    }
    text.trim_end().to_owned()
}

/// The effect of a change, and whether it needs a permission.
fn effect(rule: &ChangeRule) -> String {
    let permission = if rule.loses { "; pairs of pods are lost: `--allow-loss`" } else { "" };
    format!("{}{permission}", rule.effect)
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Writing to a `String` does not fail.
fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{content}");
}
