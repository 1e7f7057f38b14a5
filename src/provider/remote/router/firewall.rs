//! Parses the output of `nft -j list table inet stargate`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::super::files;
use super::super::routing::TUNNEL_DEVICE;

/// The output of nft; see `libnftables-json(5)`.
#[derive(Debug, Deserialize)]
pub(super) struct Ruleset {
    nftables: Vec<Value>,
}

/// The functions of stargate's table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Firewall {
    pub(super) masquerade: bool,
    pub(super) mss_clamp: bool,
}

/// The effect of a rule on packets of the tunnel.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RuleEffect {
    Masquerade,
    /// The family, and the direction relative to the tunnel.
    Clamp(String, String),
}

impl Ruleset {
    /// The functions of the table. A rule with more conditions than stargate's, or in a chain that
    /// sees other packets, does not count.
    pub(super) fn firewall(&self) -> Firewall {
        let chains: BTreeMap<&str, (&str, &str)> =
            self.nftables.iter().filter_map(|item| base_chain(&item["chain"])).collect();
        let effects: BTreeSet<RuleEffect> = self
            .nftables
            .iter()
            .map(|item| &item["rule"])
            .filter_map(|rule| effect(rule, *chains.get(rule["chain"].as_str()?)?))
            .collect();
        let clamps = ["ipv4", "ipv6"].iter().all(|family| {
            ["oifname", "iifname"].iter().all(|side| {
                effects.contains(&RuleEffect::Clamp((*family).to_owned(), (*side).to_owned()))
            })
        });
        Firewall { masquerade: effects.contains(&RuleEffect::Masquerade), mss_clamp: clamps }
    }
}

fn base_chain(chain: &Value) -> Option<(&str, (&str, &str))> {
    Some((chain["name"].as_str()?, (chain["type"].as_str()?, chain["hook"].as_str()?)))
}

fn effect(rule: &Value, chain: (&str, &str)) -> Option<RuleEffect> {
    let (mut side, mut family, mut limit, mut set) = (None, None, None, None);
    let mut masquerade = false;
    for expression in rule["expr"].as_array()? {
        let (name, body) = expression.as_object()?.iter().next()?;
        match name.as_str() {
            "match" => {
                let (left, right) = (&body["left"], &body["right"]);
                match left["meta"]["key"].as_str() {
                    Some("nfproto") => family = right.as_str(),
                    Some(key) if right == TUNNEL_DEVICE => side = Some(key),
                    Some(_) => return None,
                    None if is_segment_size(left) => limit = right.as_u64(),
                    None if left.to_string().contains("\"flags\"") => {}
                    None => return None,
                }
            }
            "masquerade" => masquerade = true,
            "mangle" if is_segment_size(&body["key"]) => set = body["value"].as_u64(),
            "counter" => {}
            _ => return None,
        }
    }
    match (chain, side?, family?) {
        (("nat", "postrouting"), "oifname", "ipv4") if masquerade => Some(RuleEffect::Masquerade),
        (("filter", "forward"), side, family) => {
            let size = files::segment_size(family);
            let clamps = set == Some(size) && limit.is_none_or(|limit| limit == size);
            clamps.then(|| RuleEffect::Clamp(family.to_owned(), side.to_owned()))
        }
        _ => None,
    }
}

fn is_segment_size(expression: &Value) -> bool {
    let option = &expression["tcp option"];
    option["name"] == "maxseg" && option["field"] == "size"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ruleset(rules: Value) -> Ruleset {
        let mut nftables = vec![
            json!({"metainfo": {"version": "1.0.6"}}),
            json!({"chain": {"name": "source", "type": "nat", "hook": "postrouting"}}),
            json!({"chain": {"name": "segment", "type": "filter", "hook": "forward"}}),
            json!({"chain": {"name": "unused"}}),
        ];
        nftables.extend(rules.as_array().unwrap().iter().map(|rule| json!({ "rule": rule })));
        Ruleset { nftables }
    }

    fn masquerade(chain: &str) -> Value {
        json!({"chain": chain, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}},
            {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "tailscale0"}},
            {"masquerade": null},
        ]})
    }

    #[test]
    fn a_rule_counts_only_in_the_right_chain() {
        assert!(ruleset(json!([masquerade("source")])).firewall().masquerade);
        assert!(!ruleset(json!([masquerade("unused")])).firewall().masquerade);
        assert!(!ruleset(json!([masquerade("segment")])).firewall().masquerade);
        assert!(!ruleset(json!([masquerade("nowhere")])).firewall().masquerade);
        assert_eq!(ruleset(json!([])).firewall(), Firewall::default());
    }

    #[test]
    fn a_rule_that_was_narrowed_does_not_count() {
        let mut narrowed = masquerade("source");
        let only = json!({"match": {"op": "==", "right": "10.0.0.1",
            "left": {"payload": {"protocol": "ip", "field": "saddr"}}}});
        narrowed["expr"].as_array_mut().unwrap().insert(0, only);
        assert!(!ruleset(json!([narrowed])).firewall().masquerade);
    }

    #[test]
    fn invalid_output_is_no_firewall() {
        for rule in [json!(7), json!({"chain": 7}), json!({"chain": "source", "expr": [1, {}]})] {
            assert_eq!(ruleset(json!([rule])).firewall(), Firewall::default());
        }
    }
}
