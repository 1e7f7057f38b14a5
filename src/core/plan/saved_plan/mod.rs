//! A plan in a file, until it is approved and applied.
//!
//! # The format
//!
//! A file is one JSON document, with one line for each item of a list:
//!
//! ```text
//! {
//! "saved_plan": {
//! "blocked": [rows],
//! "changes": [rows],
//! "deferred": [rows],
//! "format_version": 6,
//! "permissions": {…},        set by `--adopt`, `--adopt-from` and `--replace`
//! "plan": {…},               everything else of the plan: findings, gaps, cost, …
//! "stargate_version": "…",
//! "texts": ["…"],            texts that occur more than once
//! "topology_digest": "…"
//! },
//! "sha256": "…",             the digest of `saved_plan`
//! "signature": "…"           its HMAC-SHA256, if `STARGATE_PLAN_KEY` was set
//! }
//! ```
//!
//! Most resources of a large plan are alike, so a row holds its address and its
//! differences (see [`delta`]) from the last row of the same kind and site, or else
//! from the last row of the same kind. The first row of a kind is whole. A text such
//! as `@7/w-0001-nic` stands for text number 7 of `texts`, counted from 0, followed
//! by `/w-0001-nic` (see [`texts`]). In a change with a value before and after,
//! `after` is `{"~": …}`, the difference from `before`.
//!
//! `jq '.saved_plan.changes[].address' plan.json` lists the changed resources;
//! `stargate plan --format json` shows everything written out.
//!
//! The digest covers the text between `"saved_plan":` and the comma behind it,
//! without white space between tokens. It detects damage only: an editor of the
//! file can recompute it. So a saved plan is no authority: [`confirm()`] applies only
//! changes that a fresh plan contains too.

mod confirm;
mod continued;
mod delta;
mod permissions;
mod rows;
mod seal;
mod signature;
mod texts;

use std::borrow::Borrow;
use std::io::{self, Write};

use serde::Deserialize;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Blocked, Change, Deferred, Plan, PlanContents, StepGraph};
use crate::desired::DesiredSet;
use crate::diagnostics::Code;
pub use confirm::{Discrepancy, SavedPlanRefusal, confirm};
pub use continued::approved_part;
pub use permissions::Permissions;
use rows::{Item, Rows};
use seal::{Digesting, Seal, TokenDigest};
pub use signature::{PlanKey, ShortKey};
use texts::{Table, TextCounts};

/// The version of the file's format; readers refuse any other.
pub const FORMAT_VERSION: u32 = 6;

/// A plan and its inputs. A plan that is only written can be borrowed.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedPlan<P = Plan> {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of stargate that made it.
    pub stargate_version: String,
    /// The digest of the topology file.
    pub topology_digest: String,
    /// The permissions that the user gave the plan.
    pub permissions: Permissions,
    /// The plan, with the facts that it relied on.
    pub plan: P,
}

/// The current values that a saved plan is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The version of this stargate.
    pub stargate_version: &'a str,
    /// The topology's name.
    pub topology: &'a str,
    /// The digest of the topology file.
    pub topology_digest: &'a str,
    /// The key that the plan must be signed with, if there is one.
    pub key: Option<&'a PlanKey>,
}

/// A saved plan that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// It is not whole.
    #[error("the file is not a saved plan or is damaged: {0}")]
    Damaged(String),
    /// Another version made it.
    #[error("the saved plan was made by stargate {found}, and this is {expected}")]
    OtherVersion {
        /// The version in the file.
        found: String,
        /// This version.
        expected: String,
    },
    /// A key is set, and the plan is not signed with it.
    #[error("the signature of the saved plan does not verify: {0}")]
    Signature(&'static str),
    /// It was made from another topology, or from an older state of this one.
    #[error("the saved plan was made from another topology: {0}")]
    OtherTopology(String),
}

impl PlanFileError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Damaged(_) => Code::PlanTruncated,
            Self::OtherVersion { .. } => Code::PlanVersion,
            Self::Signature(_) => Code::PlanSignature,
            Self::OtherTopology(_) => Code::PlanTopology,
        }
    }
}

impl<P: Borrow<Plan>> SavedPlan<P> {
    /// Writes the file, a row at a time: see the module's documentation. A key signs
    /// it.
    ///
    /// # Errors
    ///
    /// The writer fails.
    pub fn write(&self, out: &mut impl Write, key: Option<&PlanKey>) -> io::Result<()> {
        out.write_all(b"{\n\"saved_plan\": ")?;
        let mut body = Digesting::new(&mut *out);
        self.write_body(&mut body)?;
        let (out, digest) = body.finish();
        write!(out, ",\n\"sha256\": \"{digest}\"")?;
        if let Some(key) = key {
            write!(out, ",\n\"signature\": \"{}\"", key.sign(&digest))?;
        }
        out.write_all(b"\n}\n")
    }

    /// The text of the file.
    ///
    /// # Errors
    ///
    /// A value of the plan has no JSON form.
    pub fn to_text(&self, key: Option<&PlanKey>) -> io::Result<String> {
        let mut text = Vec::new();
        self.write(&mut text, key)?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    fn write_body(&self, out: &mut impl Write) -> io::Result<()> {
        let plan = &self.plan.borrow().contents;
        let table = count_texts(plan)?;
        out.write_all(b"{\n")?;
        list(out, "blocked", &plan.blocked, &table)?;
        list(out, "changes", &plan.changes, &table)?;
        list(out, "deferred", &plan.deferred, &table)?;
        member(out, "format_version", &self.format_version)?;
        member(out, "permissions", &self.permissions)?;
        member(out, "plan", &rest_of(plan)?)?;
        member(out, "stargate_version", &self.stargate_version)?;
        texts_member(out, table.texts())?;
        write!(out, "\"topology_digest\": ")?;
        serde_json::to_writer(&mut *out, &self.topology_digest)?;
        out.write_all(b"\n}")
    }
}

/// The texts that occur more than once in the rows.
fn count_texts(plan: &PlanContents) -> io::Result<Table> {
    let mut counts = TextCounts::default();
    count_rows(&plan.blocked, &mut counts)?;
    count_rows(&plan.changes, &mut counts)?;
    count_rows(&plan.deferred, &mut counts)?;
    Ok(counts.table())
}

fn count_rows<T: Item>(items: &[T], counts: &mut TextCounts) -> io::Result<()> {
    each_row(items, |row| {
        counts.add(&row);
        Ok(())
    })
}

fn each_row<T: Item>(
    items: &[T],
    mut visit: impl FnMut(Value) -> io::Result<()>,
) -> io::Result<()> {
    let mut rows = Rows::default();
    items.iter().try_for_each(|item| visit(rows.write(item)?))
}

fn member(out: &mut impl Write, name: &str, value: &impl Serialize) -> io::Result<()> {
    write!(out, "\"{name}\": ")?;
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b",\n")
}

fn list<T: Item>(out: &mut impl Write, name: &str, items: &[T], table: &Table) -> io::Result<()> {
    write!(out, "\"{name}\": [")?;
    let mut comma = "\n";
    each_row(items, |mut row| {
        table.shorten(&mut row);
        out.write_all(comma.as_bytes())?;
        comma = ",\n";
        Ok(serde_json::to_writer(&mut *out, &row)?)
    })?;
    out.write_all(b"],\n")
}

fn texts_member(out: &mut impl Write, texts: &[String]) -> io::Result<()> {
    out.write_all(b"\"texts\": [")?;
    for (at, text) in texts.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, text)?;
    }
    out.write_all(b"],\n")
}

const LISTS: [&str; 3] = ["blocked", "changes", "deferred"];

/// The plan without the lists that are written as rows.
fn rest_of(plan: &PlanContents) -> io::Result<Value> {
    let mut rest = serde_json::to_value(plan.without_lists())?;
    if let Value::Object(members) = &mut rest {
        members.retain(|name, _| !LISTS.contains(&name.as_str()));
    }
    Ok(rest)
}

/// The file's body as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    blocked: Vec<Value>,
    changes: Vec<Value>,
    deferred: Vec<Value>,
    format_version: u32,
    permissions: Permissions,
    plan: Value,
    stargate_version: String,
    texts: Vec<String>,
    topology_digest: String,
}

impl SavedPlan {
    /// Reads a file's text and checks that it belongs here.
    ///
    /// # Errors
    ///
    /// The file is damaged, not signed as expected, of another version, or of another
    /// topology.
    pub fn from_text(text: &str, expected: Expected<'_>) -> Result<Self, PlanFileError> {
        parse::<IgnoredAny>(text)?;
        let body = seal::body_of(text).ok_or_else(|| damaged("it is not a saved plan"))?;
        check_version(body, expected)?;
        check_seal(&parse(text)?, body, expected)?;
        let saved = Self::from_body(parse(body)?)?;
        check_topology(&saved, expected)?;
        Ok(saved)
    }

    fn from_body(body: Body) -> Result<Self, PlanFileError> {
        let table = Table::of(body.texts);
        let mut rest = body.plan;
        for name in LISTS {
            rest[name] = Value::Array(Vec::new());
        }
        let mut plan: PlanContents =
            serde_json::from_value(rest).map_err(|error| damaged(&error.to_string()))?;
        plan.blocked = items::<Blocked>(body.blocked, &table)?;
        plan.changes = items::<Change>(body.changes, &table)?;
        // The file omits values that are derived from the changes.
        plan.steps = StepGraph::of(&plan.changes);
        plan.deferred = items::<Deferred>(body.deferred, &table)?;
        Ok(Self {
            format_version: body.format_version,
            stargate_version: body.stargate_version,
            topology_digest: body.topology_digest,
            permissions: body.permissions,
            plan: Plan { contents: plan, desired: DesiredSet::default() },
        })
    }
}

fn items<T: Item>(rows: Vec<Value>, table: &Table) -> Result<Vec<T>, PlanFileError> {
    let mut read = Rows::default();
    let items = rows.into_iter().enumerate().map(|(at, mut row)| {
        let item = table.lengthen(&mut row).and_then(|()| read.read(row));
        item.ok_or_else(|| damaged(&format!("row {at} of a list cannot be read")))
    });
    items.collect()
}

/// Whether a file that begins with this text is a saved plan, of any version.
pub fn begins_saved_plan(text: &str) -> bool {
    let rest = text.trim_start().strip_prefix('{');
    rest.is_some_and(|rest| rest.trim_start().starts_with("\"saved_plan\""))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, PlanFileError> {
    serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))
}

fn damaged(reason: &str) -> PlanFileError {
    PlanFileError::Damaged(reason.to_owned())
}

/// The fields that every version of the format has.
#[derive(Deserialize)]
struct Version {
    format_version: Option<Value>,
    stargate_version: Option<Value>,
}

fn check_version(body: &str, expected: Expected<'_>) -> Result<(), PlanFileError> {
    let Version { format_version, stargate_version } = parse(body)?;
    let format = format_version.as_ref().and_then(Value::as_u64);
    let version = stargate_version.as_ref().and_then(Value::as_str).unwrap_or("an unknown one");
    if format == Some(u64::from(FORMAT_VERSION)) && version == expected.stargate_version {
        return Ok(());
    }
    let format = format.map_or_else(|| "unknown".to_owned(), |format| format.to_string());
    Err(PlanFileError::OtherVersion {
        found: format!("{version} (format {format})"),
        expected: format!("{} (format {FORMAT_VERSION})", expected.stargate_version),
    })
}

fn check_seal(seal: &Seal, body: &str, expected: Expected<'_>) -> Result<(), PlanFileError> {
    let digest = TokenDigest::of(body);
    if seal.sha256.as_ref() != Some(&digest) {
        return Err(damaged("checksum mismatch"));
    }
    match (expected.key, &seal.signature) {
        (None, _) => Ok(()),
        (Some(key), Some(signature)) if key.verify(&digest, signature) => Ok(()),
        (Some(_), Some(_)) => {
            Err(PlanFileError::Signature("another key made it, or the plan was edited"))
        }
        (Some(_), None) => Err(PlanFileError::Signature("the plan is not signed")),
    }
}

fn check_topology(saved: &SavedPlan, expected: Expected<'_>) -> Result<(), PlanFileError> {
    if saved.plan.topology != expected.topology {
        return Err(PlanFileError::OtherTopology(format!(
            "it is for `{}`, and the file describes `{}`",
            saved.plan.topology, expected.topology
        )));
    }
    if saved.topology_digest != expected.topology_digest {
        return Err(PlanFileError::OtherTopology("the topology file was changed since".to_owned()));
    }
    Ok(())
}
