//! The policy file, stored byte for byte.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hujson;
use crate::sandbox::digest::digest;

const INITIAL_POLICY: &str = r#"// The policy of the sandbox's tailnet.
{
  // Who may give a tag to a device.
  "tagOwners": {
  },

  "grants": [
    { "src": ["*"], "dst": ["*"], "ip": ["*"] },
  ],
}
"#;

/// The policy of the tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicy {
    text: String,
    /// Whether it is still the initial policy.
    untouched: bool,
}

impl Default for AccessPolicy {
    fn default() -> Self {
        Self { text: INITIAL_POLICY.to_owned(), untouched: true }
    }
}

impl AccessPolicy {
    /// The text, with comments.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parsed policy.
    pub fn value(&self) -> Value {
        hujson::parse(&self.text).unwrap_or(Value::Null)
    }

    /// The quoted ETag.
    pub fn etag(&self) -> String {
        format!("\"{}\"", digest(&self.text))
    }

    /// Whether the `If-Match` header allows a write.
    pub(super) fn matches(&self, expected: &str) -> bool {
        expected == self.etag() || expected.trim_matches('"') == "ts-default" && self.untouched
    }

    /// Validates and writes the policy.
    pub fn write(&mut self, text: &str) -> Result<(), String> {
        Self::check(text)?;
        self.text = text.to_owned();
        self.untouched = false;
        Ok(())
    }

    /// Validates a policy.
    pub(super) fn check(text: &str) -> Result<(), String> {
        let value = hujson::parse(text).map_err(|error| format!("invalid policy: {error}"))?;
        if !value.is_object() {
            return Err("invalid policy: it must be an object".to_owned());
        }
        match value.get("tagOwners") {
            None => {}
            Some(Value::Object(owners)) => {
                if let Some(tag) = owners.keys().find(|tag| !tag.starts_with("tag:")) {
                    return Err(format!("tagOwners: {tag:?} does not start with \"tag:\""));
                }
            }
            Some(_) => return Err("tagOwners: must be an object".to_owned()),
        }
        match used_tags(&value)
            .find(|tag| value.pointer("/tagOwners").is_none_or(|it| it.get(tag).is_none()))
        {
            Some(tag) => Err(format!("tag not found: {tag:?}")),
            None => Ok(()),
        }
    }

    /// Whether a tag has an owner and so may be used.
    pub fn owns_tag(&self, tag: &str) -> bool {
        self.value().pointer("/tagOwners").is_some_and(|owners| owners.get(tag).is_some())
    }

    /// Adds an owner for a tag without one. All other text stays unchanged.
    pub fn add_tag(&mut self, tag: &str) {
        if self.owns_tag(tag) {
            return;
        }
        let line = format!("\n    \"{tag}\": [\"autogroup:admin\"],");
        let at = self.text.find("\"tagOwners\"");
        let brace = at.and_then(|at| self.text[at..].find('{').map(|brace| at + brace + 1));
        let (at, added) = match brace {
            Some(at) => (at, line),
            None => {
                let first = self.text.find('{').map_or(0, |brace| brace + 1);
                (first, format!("\n  \"tagOwners\": {{{line}\n  }},"))
            }
        };
        let mut text = self.text.clone();
        text.insert_str(at, &added);
        if Self::check(&text).is_ok() {
            self.text = text;
        }
    }

    /// Removes the owners of a tag. All other text stays unchanged.
    pub fn remove_tag(&mut self, tag: &str) {
        let is_owner = |line: &&str| line.trim_start().starts_with(&format!("\"{tag}\":"));
        let kept: String = self.text.split_inclusive('\n').filter(|it| !is_owner(it)).collect();
        if Self::check(&kept).is_ok() {
            self.text = kept;
        }
    }

    /// Whether `autoApprovers` approve a prefix for a device with these tags.
    pub fn approves(&self, prefix: &IpNet, tags: &[String]) -> bool {
        let value = self.value();
        let Some(routes) = value.pointer("/autoApprovers/routes").and_then(Value::as_object) else {
            return false;
        };
        routes.iter().any(|(range, approvers)| {
            let covers = range.parse::<IpNet>().is_ok_and(|range| range.contains(prefix));
            let named = |tag: &String| {
                approvers.as_array().is_some_and(|names| names.iter().any(|name| name == tag))
            };
            covers && tags.iter().any(named)
        })
    }
}

/// The tags to which the rules of a policy refer.
fn used_tags(policy: &Value) -> impl Iterator<Item = &str> {
    let rules = ["acls", "grants"].into_iter().filter_map(|member| policy.get(member)?.as_array());
    let names = rules
        .flatten()
        .flat_map(|rule| {
            ["src", "dst"].into_iter().filter_map(|member| rule.get(member)?.as_array())
        })
        .flatten()
        .filter_map(Value::as_str);
    names.filter_map(|name| {
        // Targets of `acls` end with ports.
        let tag = name.strip_prefix("tag:")?.split(':').next()?;
        name.get(.."tag:".len() + tag.len())
    })
}
