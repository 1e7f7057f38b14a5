//! Label and field selectors.

use serde_json::Value;

use super::status::StatusError;
use super::value::{at, items, text, texts};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// `a=b,c in (d,e),!f`: all requirements must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSelector {
    requirements: Vec<(String, Condition)>,
}

impl LabelSelector {
    pub(super) fn parse(text: &str) -> Result<Self, StatusError> {
        let requirements = split(text).into_iter().map(requirement).collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Reads the selector of an object. An empty one matches everything.
    pub(super) fn of(selector: &Value) -> Self {
        let labels = at(selector, &["matchLabels"]).and_then(Value::as_object);
        let mut requirements: Vec<_> = labels
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let value = value.as_str().unwrap_or_default().to_owned();
                (key.clone(), Condition::In(vec![value]))
            })
            .collect();
        for expression in items(selector, &["matchExpressions"]) {
            let values = texts(expression, &["values"]).into_iter().map(str::to_owned).collect();
            let condition = match text(expression, &["operator"]) {
                Some("NotIn") => Condition::NotIn(values),
                Some("Exists") => Condition::Exists,
                Some("DoesNotExist") => Condition::Absent,
                _ => Condition::In(values),
            };
            requirements
                .push((text(expression, &["key"]).unwrap_or_default().to_owned(), condition));
        }
        Self { requirements }
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = at(object, &["metadata", "labels"]);
        self.requirements.iter().all(|(key, condition)| {
            let label = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
            match (condition, label) {
                (Condition::Exists, label) => label.is_some(),
                (Condition::Absent, label) => label.is_none(),
                (Condition::In(values), Some(label)) => values.iter().any(|value| value == label),
                (Condition::In(_), None) => false,
                (Condition::NotIn(values), Some(label)) => {
                    values.iter().all(|value| value != label)
                }
                (Condition::NotIn(_), None) => true,
            }
        })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn requirement(text: &str) -> Result<(String, Condition), StatusError> {
    if let Some(key) = text.strip_prefix('!') {
        return keyed(key, Condition::Absent);
    }
    if let Some((head, values)) = text.split_once('(') {
        let values =
            values.trim_end_matches(')').split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next()) {
            (Some(key), Some("in")) => keyed(key, Condition::In(values)),
            (Some(key), Some("notin")) => keyed(key, Condition::NotIn(values)),
            _ => Err(unreadable(text)),
        };
    }
    let one = |value: &str| vec![value.trim_start_matches('=').trim().to_owned()];
    if let Some((key, value)) = text.split_once("!=") {
        keyed(key, Condition::NotIn(one(value)))
    } else if let Some((key, value)) = text.split_once('=') {
        keyed(key, Condition::In(one(value)))
    } else {
        keyed(text, Condition::Exists)
    }
}

fn keyed(key: &str, condition: Condition) -> Result<(String, Condition), StatusError> {
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(unreadable(key));
    }
    Ok((key.to_owned(), condition))
}

fn unreadable(text: &str) -> StatusError {
    StatusError::bad_request(format!("unable to parse requirement: {text:?}"))
}

/// `spec.nodeName=x,metadata.name!=y`: all requirements must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSelector {
    requirements: Vec<(String, bool, String)>,
}

impl FieldSelector {
    pub(super) fn parse(text: &str) -> Result<Self, StatusError> {
        let requirements = split(text)
            .into_iter()
            .map(|part| {
                let (key, value) = part.split_once('=').ok_or_else(|| {
                    StatusError::bad_request(format!("invalid field selector: {part:?}"))
                })?;
                let value = value.trim_start_matches('=').to_owned();
                Ok(match key.strip_suffix('!') {
                    Some(key) => (key.to_owned(), false, value),
                    None => (key.to_owned(), true, value),
                })
            })
            .collect::<Result<_, StatusError>>()?;
        Ok(Self { requirements })
    }

    /// Custom resources can be selected by name and namespace only.
    pub(super) fn check_custom(&self) -> Result<(), StatusError> {
        let known = |key: &str| matches!(key, "metadata.name" | "metadata.namespace");
        match self.requirements.iter().find(|(key, ..)| !known(key)) {
            Some((key, ..)) => {
                Err(StatusError::bad_request(format!("field label not supported: {key}")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|(key, equal, expected)| {
            let path: Vec<&str> = key.split('.').collect();
            let found = match at(object, &path) {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
            };
            (found == *expected) == *equal
        })
    }

    /// The selected name, if the selector selects a single name: a list then needs no scan.
    pub(super) fn with_name(mut self, name: &str) -> Self {
        self.requirements.push(("metadata.name".to_owned(), true, name.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(selector: &str) -> bool {
        let object = json!({"metadata": {"name": "a", "labels": {"role": "edge", "zone": "1"}}});
        LabelSelector::parse(selector).unwrap().matches(&object)
    }

    #[test]
    fn labels_are_matched() {
        for yes in [
            "",
            "role",
            "!none",
            "role=edge",
            "role==edge,zone=1",
            "role!=core",
            "none!=x",
            "role in (core, edge),zone",
            "zone notin (2,3)",
        ] {
            assert!(selects(yes), "{yes}");
        }
        for no in ["none", "!role", "role=core", "role in (core)", "zone notin (1)", "role!=edge"] {
            assert!(!selects(no), "{no}");
        }
        assert!(LabelSelector::parse("a like (b)").is_err());
    }

    #[test]
    fn fields_are_matched() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}});
        let selects = |text: &str| FieldSelector::parse(text).unwrap().matches(&pod);
        assert!(selects("spec.nodeName=n1,metadata.name!=b"));
        assert!(selects("status.phase="));
        assert!(!selects("spec.nodeName=n2"));
        assert!(FieldSelector::parse("spec.nodeName=n1").unwrap().check_custom().is_err());
    }
}
