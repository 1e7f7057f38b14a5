//! `[[ignore]]` blocks that have expired. The caller passes the date.

use jiff::civil::Date;

use crate::diagnostics::{Code, Diagnostic};
use crate::topology::load::Loaded;

/// A warning for each `[[ignore]]` that has expired.
pub fn expired_ignores(loaded: &Loaded, today: Date) -> Vec<Diagnostic> {
    let rules = loaded.topology.ignores.iter().zip(&loaded.spans.ignores);
    let expired = rules.filter(|(rule, _)| rule.has_expired(today));
    let warning = |(rule, span): (&crate::topology::ignore::IgnoreRule, &Option<_>)| {
        let message = format!("`[[ignore]]` of {} in {} has expired", rule.field, rule.address);
        let found = Diagnostic::warning(Code::IgnoreExpired, message)
            .remedy("remove the block, or extend `until`");
        match span {
            Some(span) => found.at(std::ops::Range::clone(span), "the last day has passed"),
            None => found,
        }
    };
    expired.map(warning).collect()
}
