//! A plan that is kept in a file until somebody approved it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Plan;
use crate::diagnostics::Code;
use crate::resource::Address;

/// The version of the file's format; readers refuse any other.
pub const FORMAT_VERSION: u32 = 2;

/// A plan and what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of stargate that made it.
    pub stargate_version: String,
    /// The digest of the topology file.
    pub topology_digest: String,
    /// Objects that the plan takes over.
    pub adopt: BTreeSet<Address>,
    /// Whether it takes everything away.
    pub destroy: bool,
    /// The plan, with the facts that it relied on.
    pub plan: Plan,
}

/// What a saved plan must agree with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The version of this stargate.
    pub stargate_version: &'a str,
    /// The topology's name.
    pub topology: &'a str,
    /// The digest of the topology file.
    pub topology_digest: &'a str,
}

/// A saved plan that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// It is not whole.
    #[error("the saved plan is truncated or damaged: {0}")]
    Damaged(String),
    /// Another version made it.
    #[error("the saved plan was made by stargate {found}, and this is {expected}")]
    OtherVersion {
        /// The version in the file.
        found: String,
        /// This version.
        expected: String,
    },
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
            Self::OtherTopology(_) => Code::PlanTopology,
        }
    }
}

impl SavedPlan {
    /// The text of the file: JSON with a digest of itself, so that a truncated
    /// or edited file is noticed.
    pub fn to_text(&self) -> String {
        let body = serde_json::to_value(self).unwrap_or(Value::Null);
        let sealed = serde_json::json!({ "sha256": digest(&body), "saved_plan": body });
        format!("{sealed:#}\n")
    }

    /// Reads a file's text and checks that it belongs here.
    ///
    /// # Errors
    ///
    /// The file is damaged, of another version, or of another topology.
    pub fn from_text(text: &str, expected: Expected<'_>) -> Result<Self, PlanFileError> {
        let sealed: Value = serde_json::from_str(text)
            .map_err(|error| PlanFileError::Damaged(error.to_string()))?;
        let body = sealed
            .get("saved_plan")
            .ok_or_else(|| PlanFileError::Damaged("it has no `saved_plan`".to_owned()))?;
        check_version(body, expected)?;
        if sealed.get("sha256").and_then(Value::as_str) != Some(digest(body).as_str()) {
            return Err(PlanFileError::Damaged("its digest does not fit its content".to_owned()));
        }
        let saved: Self = serde_json::from_value(body.clone())
            .map_err(|error| PlanFileError::Damaged(error.to_string()))?;
        check_topology(&saved, expected)?;
        Ok(saved)
    }
}

fn check_version(body: &Value, expected: Expected<'_>) -> Result<(), PlanFileError> {
    let format = body.get("format_version").and_then(Value::as_u64);
    let version = body.get("stargate_version").and_then(Value::as_str).unwrap_or("an unknown one");
    if format == Some(u64::from(FORMAT_VERSION)) && version == expected.stargate_version {
        return Ok(());
    }
    let format = format.map_or_else(|| "unknown".to_owned(), |format| format.to_string());
    Err(PlanFileError::OtherVersion {
        found: format!("{version} (format {format})"),
        expected: format!("{} (format {FORMAT_VERSION})", expected.stargate_version),
    })
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

fn digest(body: &Value) -> String {
    Sha256::digest(body.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
