//! Known drift: fields that others set, and that a plan leaves as they are.

use std::fmt;

use jiff::civil::Date;

use crate::resource::{Address, Kind};

/// One `[[ignore]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreRule {
    /// The resources.
    pub address: AddressPattern,
    /// The field, and everything below it.
    pub field: FieldPattern,
    /// Why it is ignored.
    pub reason: String,
    /// The last day on which it is ignored.
    pub until: Option<Date>,
}

impl IgnoreRule {
    /// Whether the rule has expired.
    pub fn has_expired(&self, today: Date) -> bool {
        self.until.is_some_and(|until| today > until)
    }
}

/// A pattern of addresses, such as `network-security-group/*/stargate-*`: `*` stands for
/// any characters of a kind, a site or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPattern(String);

/// A pattern of paths to fields, as plans print them, such as `rules[policy-*].access`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern {
    text: String,
    segments: Vec<String>,
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

impl AddressPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// It has not the three parts of an address, or no kind of resource matches it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        let [kind, _, _] = parts.as_slice() else {
            return Err(InvalidPattern(format!("`{text}` is not of the form KIND/SITE/NAME")));
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(InvalidPattern(format!("a part of `{text}` is empty")));
        }
        if !Kind::ALL.iter().any(|one| glob(kind, &one.to_string())) {
            return Err(InvalidPattern(format!("there is no kind of resource `{kind}`")));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether an address matches.
    pub fn matches(&self, address: &Address) -> bool {
        let mut parts = self.0.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        glob(part(), &address.kind.to_string())
            && glob(part(), &address.site.to_string())
            && glob(part(), &address.name)
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FieldPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A part is empty, or brackets do not match.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (segment, behind) = match rest.strip_prefix('[') {
                Some(inner) => inner
                    .split_once(']')
                    .ok_or_else(|| InvalidPattern(format!("`{text}` lacks a closing bracket")))?,
                None => rest.split_at(rest.find(['.', '[', ']']).unwrap_or(rest.len())),
            };
            if segment.is_empty() {
                return Err(InvalidPattern(format!("a part of `{text}` is empty")));
            }
            segments.push(segment.to_owned());
            rest = match behind.strip_prefix('.') {
                Some("") => return Err(InvalidPattern(format!("a part of `{text}` is empty"))),
                Some(next) => next,
                None if behind.is_empty() || behind.starts_with('[') => behind,
                None => return Err(InvalidPattern(format!("`{text}` has an unexpected `]`"))),
            };
        }
        if segments.is_empty() {
            return Err(InvalidPattern("the field is empty".to_owned()));
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// Whether a path that begins with these parts may match.
    pub fn may_begin_with(&self, path: &[String]) -> bool {
        self.segments.iter().zip(path).all(|(one, part)| glob(one, part))
    }

    /// The part of a path that the pattern matches; `None` if it does not.
    pub fn matching_prefix<'p>(&self, path: &'p [String]) -> Option<&'p [String]> {
        let prefix = path.get(..self.segments.len())?;
        self.segments.iter().zip(prefix).all(|(one, part)| glob(one, part)).then_some(prefix)
    }
}

impl fmt::Display for FieldPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("*b", "ab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
            ("*a*", "bab", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn addresses_match_part_by_part() {
        let matches = |pattern: &str, address: &str| {
            AddressPattern::parse(pattern).unwrap().matches(&address.parse().unwrap())
        };
        assert!(matches("route-table/cluster/x", "route-table/cluster/x"));
        assert!(matches("route-*/*/*", "route-table-association/dc1/a/b"));
        assert!(!matches("route-table/*/x", "route-table/dc1/y"));
        assert!(!matches("*/cluster/*", "route-table/dc1/y"));
        for invalid in ["", "route-table", "route-table/x", "route-table//x", "no-kind/*/*"] {
            assert!(AddressPattern::parse(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn fields_are_written_as_plans_print_them() {
        let path = |parts: &[&str]| parts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let pattern = FieldPattern::parse("rules[policy.*].access").unwrap();
        let long = path(&["rules", "policy.a", "access", "x"]);
        assert_eq!(pattern.matching_prefix(&long), Some(&long[..3]));
        assert_eq!(pattern.matching_prefix(&path(&["rules", "ours", "access"])), None);
        assert_eq!(pattern.matching_prefix(&path(&["rules"])), None);
        let bracket_first = FieldPattern::parse("[stargate.io/a].b").unwrap();
        assert!(bracket_first.matching_prefix(&path(&["stargate.io/a", "b"])).is_some());
        for invalid in ["", ".", "a.", ".a", "a..b", "a[b", "a]", "a[]", "a[b]c"] {
            assert!(FieldPattern::parse(invalid).is_err(), "{invalid}");
        }
    }
}
