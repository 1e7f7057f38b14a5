//! Parses the rules of other programs, and the tables that they select.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::kernel::Route;
use super::output::{ProbeError, ProbeOutput};
use crate::provider::printable::line as printable;
use crate::resource::foreign_rule::{ForeignHop, ForeignRule};
use crate::resource::ownership::ROUTE_PROTOCOL;

/// The fields of a rule that selects packets by their addresses alone. Rules with other
/// selectors, such as marks, select packets that programs marked for themselves.
const FIELDS: [&str; 7] = ["priority", "src", "srclen", "dst", "dstlen", "table", "protocol"];
/// The kernel's own tables.
const OWN_TABLES: [&str; 3] = ["local", "main", "default"];

/// Rules of other programs that select one of the tables that the probe printed, by
/// priority. Rules of another form are ignored.
pub(super) fn foreign_rules(output: &ProbeOutput) -> Result<Vec<ForeignRule>, ProbeError> {
    let tables = tables(output)?;
    let rules: Vec<Value> = output.json("rules")?.unwrap_or_default();
    let rules = rules.iter().filter_map(|rule| foreign_rule(rule, &tables));
    let mut rules: Vec<ForeignRule> = rules.filter(|rule| !rule.routes.is_empty()).collect();
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules)
}

/// Lines such as `52 [{"dst":"10.0.0.0/8","dev":"tailscale0"}]`.
fn tables(
    output: &ProbeOutput,
) -> Result<BTreeMap<&str, BTreeMap<Ipv4Net, ForeignHop>>, ProbeError> {
    let text = output.text("tables")?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter(|(_, routes)| !routes.trim().is_empty())
        .map(|(table, routes)| {
            let routes: Vec<Route> = serde_json::from_str(routes).map_err(|error| {
                let reason = printable(&error.to_string());
                ProbeError::Part { part: "tables", reason }
            })?;
            let routes =
                routes.iter().filter_map(|route| Some((prefix(&route.dst, None)?, hop(route)?)));
            Ok((table, routes.collect()))
        })
        .collect()
}

fn hop(route: &Route) -> Option<ForeignHop> {
    match (route.kind.as_deref().unwrap_or("unicast"), route.gateway, &route.dev) {
        ("unicast", Some(gateway), _) => Some(ForeignHop::Via(gateway)),
        ("unicast", None, Some(device)) => Some(ForeignHop::Device(printable(device))),
        ("unreachable" | "prohibit" | "blackhole", _, _) => Some(ForeignHop::Unreachable),
        // `throw` continues with the next rule.
        _ => None,
    }
}

fn foreign_rule(
    rule: &Value,
    tables: &BTreeMap<&str, BTreeMap<Ipv4Net, ForeignHop>>,
) -> Option<ForeignRule> {
    let fields = rule.as_object()?;
    let table = rule["table"].as_str().filter(|table| !OWN_TABLES.contains(table))?;
    let is_ours = rule["protocol"].as_str() == Some(&ROUTE_PROTOCOL.to_string());
    if is_ours || !fields.keys().all(|field| FIELDS.contains(&field.as_str())) {
        return None;
    }
    let side = |address: &str, length: &str| match rule[address].as_str() {
        None | Some("all") => Some(Ipv4Net::default()),
        Some(text) => prefix(text, rule[length].as_u64()),
    };
    Some(ForeignRule {
        priority: rule["priority"].as_u64().and_then(|it| it.try_into().ok()).unwrap_or(0),
        from: side("src", "srclen")?,
        to: side("dst", "dstlen")?,
        table: printable(table),
        routes: tables.get(table).cloned().unwrap_or_default(),
    })
}

fn prefix(text: &str, length: Option<u64>) -> Option<Ipv4Net> {
    if text == "default" {
        return Some(Ipv4Net::default());
    }
    let length = length.and_then(|length| u8::try_from(length).ok()).unwrap_or(32);
    let address = || Ipv4Net::new(text.parse().ok()?, length).ok();
    text.parse().ok().or_else(address)
}
