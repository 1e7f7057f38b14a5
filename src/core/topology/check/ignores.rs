//! Checks `[[ignore]]`.

use std::fmt;

use jiff::civil::Date;

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::file::IgnoreSection;
use crate::topology::ignore::{AddressPattern, FieldPattern, IgnoreRule};
use crate::topology::located::Located;

impl Checker<'_> {
    /// The rules whose parts are all valid.
    pub(super) fn ignores(&mut self, sections: &[IgnoreSection]) -> Vec<IgnoreRule> {
        sections.iter().filter_map(|section| self.ignore(section)).collect()
    }

    fn ignore(&mut self, section: &IgnoreSection) -> Option<IgnoreRule> {
        let address = AddressPattern::parse(&section.address.value);
        let address = self.checked(
            &section.address,
            address,
            "use a pattern such as \"network-security-group/*/stargate-*\"",
        );
        let field = FieldPattern::parse(&section.field.value);
        let remedy = "write the field as `stargate plan` prints it, such as \"rules[policy-*]\"";
        let field = self.checked(&section.field, field, remedy);
        let until = section.until.as_ref().map(|written| {
            let date = written.value.parse::<Date>();
            let date = date.map_err(|_| format!("`{}` is not a date", written.value));
            self.checked(written, date, "use a date such as \"2026-12-31\"")
        });
        if section.reason.value.trim().is_empty() {
            let empty: Result<(), _> = Err("the reason is empty");
            self.checked(&section.reason, empty, "say who sets the field, and why");
        }
        let until = match until {
            Some(None) => return None,
            until => until.flatten(),
        };
        let reason = section.reason.value.trim().to_owned();
        Some(IgnoreRule { address: address?, field: field?, reason, until })
    }

    /// A value, or a diagnostic at its place.
    fn checked<T, E: fmt::Display>(
        &mut self,
        written: &Located<String>,
        parsed: Result<T, E>,
        remedy: &str,
    ) -> Option<T> {
        parsed
            .map_err(|error| {
                let found = Diagnostic::error(Code::InvalidIgnore, error.to_string());
                self.found.push(found.at(written.span.clone(), "invalid here").remedy(remedy));
            })
            .ok()
    }
}
