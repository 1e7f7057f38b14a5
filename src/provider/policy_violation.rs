//! The policies that an error of Azure names.

use serde_json::Value;

/// A policy that denied a request, from the error's details.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyViolation {
    /// The name of the assignment that is shown in the portal, else its name.
    pub assignment: String,
    /// The id of the assignment.
    pub assignment_id: String,
    /// The name of the policy, empty if the error has none.
    pub definition: String,
}

impl PolicyViolation {
    /// The policies that an error names: in `additionalInfo`, or at the end of its message
    /// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-policy-requestdisallowedbypolicy>).
    pub(super) fn all_of(error: &Value) -> Vec<Self> {
        let infos = error.get("additionalInfo").and_then(Value::as_array).into_iter().flatten();
        let violations = infos.filter(|info| info["type"] == "PolicyViolation");
        let found: Vec<Self> = violations.filter_map(|it| Self::of_info(&it["info"])).collect();
        if !found.is_empty() {
            return found;
        }
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let identifiers = message.split_once("Policy identifiers: '").map(|(_, rest)| rest);
        let identifiers = identifiers.and_then(|rest| rest.rsplit_once('\'')).map(|(text, _)| text);
        let parsed = identifiers.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
        parsed.into_iter().flatten().filter_map(|it| Self::of_identifiers(&it)).collect()
    }

    fn of_info(info: &Value) -> Option<Self> {
        let field = |names: [&str; 2]| names.into_iter().find_map(|name| text(info, name));
        let assignment_id = text(info, "policyAssignmentId")?;
        let name = field(["policyAssignmentDisplayName", "policyAssignmentName"]);
        let definition = field(["policyDefinitionDisplayName", "policyDefinitionName"]);
        Some(Self {
            assignment: name.unwrap_or_else(|| last_segment(&assignment_id)),
            definition: definition.unwrap_or_default(),
            assignment_id,
        })
    }

    fn of_identifiers(identifiers: &Value) -> Option<Self> {
        let assignment = identifiers.get("policyAssignment")?;
        let assignment_id = text(assignment, "id")?;
        let definition = identifiers.get("policyDefinition");
        Some(Self {
            assignment: text(assignment, "name").unwrap_or_else(|| last_segment(&assignment_id)),
            definition: definition.and_then(|it| text(it, "name")).unwrap_or_default(),
            assignment_id,
        })
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn last_segment(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}
