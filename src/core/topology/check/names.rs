//! Checks names by the rules of the services that use them.

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::resource::names::SubscriptionId;
use crate::topology::located::Located;

fn lower_or_digit(one: char) -> bool {
    one.is_ascii_lowercase() || one.is_ascii_digit()
}

/// A label of RFC 1123: valid as host name, Node name and device name.
pub(super) fn is_host_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|one| lower_or_digit(one) || one == '-')
        && text.starts_with(lower_or_digit)
        && text.ends_with(lower_or_digit)
}

/// The most similar legal host name, for the remedy.
fn as_host_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let corrected: String =
        lower.chars().map(|one| if lower_or_digit(one) { one } else { '-' }).take(63).collect();
    let corrected = corrected.trim_matches('-');
    if corrected.is_empty() { "a-name".to_owned() } else { corrected.to_owned() }
}

/// A label value or part of a label key: at most 63 characters, alphanumeric at both
/// ends.
fn is_label_part(text: &str) -> bool {
    text.len() <= 63
        && text.chars().all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one))
        && text.starts_with(|one: char| one.is_ascii_alphanumeric())
        && text.ends_with(|one: char| one.is_ascii_alphanumeric())
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => prefix.split('.').all(is_host_name) && is_label_part(name),
        None => is_label_part(text),
    }
}

/// Prefixes of labels that a kubelet must not set or that stargate reserves.
fn is_reserved_label(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    ["kubernetes.io", "k8s.io", "stargate.io"]
        .iter()
        .any(|domain| prefix == *domain || prefix.ends_with(&format!(".{domain}")))
        && !prefix.ends_with("node.kubernetes.io")
}

impl Checker<'_> {
    pub(super) fn host_name(&mut self, written: &Located<String>, what: &str) {
        if is_host_name(&written.value) {
            return;
        }
        let message = format!("invalid {what} name `{}`", written.value);
        self.found.push(
            Diagnostic::error(Code::IllegalName, message)
                .at(
                    written.span.clone(),
                    "expected at most 63 lowercase letters, digits and hyphens",
                )
                .remedy(format!("use \"{}\", for example", as_host_name(&written.value))),
        );
    }

    fn azure_name(&mut self, written: &Located<String>, legal: bool, what: &str, rule: &str) {
        if legal {
            return;
        }
        let message = format!("invalid Azure {what} name `{}`", written.value);
        self.found.push(
            Diagnostic::error(Code::IllegalAzureName, message)
                .at(written.span.clone(), "invalid name")
                .remedy(format!("use {rule}")),
        );
    }

    pub(super) fn resource_group(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = (1..=90).contains(&text.chars().count())
            && text.chars().all(|one| one.is_alphanumeric() || "_-.()".contains(one))
            && !text.ends_with('.');
        let rule = "at most 90 letters, digits and `_-.()`, without a full stop at the end";
        self.azure_name(written, legal, "resource group", rule);
    }

    pub(super) fn cluster_name(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = (1..=63).contains(&text.len())
            && text.chars().all(|one| one.is_ascii_alphanumeric() || "_-".contains(one))
            && text.starts_with(|one: char| one.is_ascii_alphanumeric())
            && text.ends_with(|one: char| one.is_ascii_alphanumeric());
        let rule = "at most 63 letters, digits, `_` and `-`, with a letter or digit at both ends";
        self.azure_name(written, legal, "cluster", rule);
    }

    pub(super) fn node_pool_name(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = (1..=12).contains(&text.len())
            && text.chars().all(lower_or_digit)
            && text.starts_with(|one: char| one.is_ascii_lowercase());
        let rule = "at most 12 lowercase letters and digits, starting with a letter";
        self.azure_name(written, legal, "node pool", rule);
    }

    /// AKS derives the name of the node resource group from three names, with a maximum
    /// length of 80.
    pub(super) fn node_group_length(
        &mut self,
        group: &Located<String>,
        cluster: &str,
        region: &str,
    ) {
        let name = format!("MC_{}_{cluster}_{region}", group.value);
        let legal = name.chars().count() <= 80;
        let rule = "shorter names: `MC_<group>_<cluster>_<region>` can have at most 80 characters";
        self.azure_name(group, legal, "cluster resource group", rule);
    }

    pub(super) fn region(&mut self, written: &Located<String>) {
        if !written.value.is_empty() && written.value.chars().all(lower_or_digit) {
            return;
        }
        let corrected: String =
            written.value.to_ascii_lowercase().chars().filter(|one| lower_or_digit(*one)).collect();
        let corrected = if corrected.is_empty() { "canadacentral" } else { &corrected };
        self.found.push(
            Diagnostic::error(Code::IllegalRegion, format!("invalid region `{}`", written.value))
                .at(written.span.clone(), "expected lowercase letters and digits")
                .remedy(format!("did you mean \"{corrected}\"?")),
        );
    }

    pub(super) fn vm_size(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = text.split_once('_').is_some_and(|(tier, size)| {
            ["Standard", "Basic"].contains(&tier)
                && size.starts_with(|first: char| first.is_ascii_uppercase())
                && size.chars().all(|one| one.is_ascii_alphanumeric() || "_-".contains(one))
        });
        if !legal {
            self.found.push(
                Diagnostic::error(Code::IllegalVmSize, format!("invalid VM size `{text}`"))
                    .at(written.span.clone(), "not a VM size")
                    .remedy("use a size such as \"Standard_D2s_v5\""),
            );
        }
    }

    pub(super) fn optional_vm_size(&mut self, written: Option<&Located<String>>) {
        if let Some(written) = written {
            self.vm_size(written);
        }
    }

    pub(super) fn subscription(&mut self, written: &Located<String>) {
        if SubscriptionId::is_legal(&written.value) {
            return;
        }
        self.found.push(
            Diagnostic::error(
                Code::IllegalSubscription,
                format!("invalid subscription ID `{}`", written.value),
            )
            .at(written.span.clone(), "not a GUID")
            .remedy("use the output of `az account show --query id`, or remove the key"),
        );
    }

    pub(super) fn tag(&mut self, written: &Located<String>, topology: &str) {
        let legal = written.value.strip_prefix("tag:").is_some_and(|name| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-')
        });
        if !legal {
            let message = format!("invalid tag `{}`", written.value);
            self.found.push(
                Diagnostic::error(Code::IllegalTag, message)
                    .at(written.span.clone(), "expected `tag:` followed by a letter")
                    .remedy(format!(
                        "use \"tag:stargate-{}\", for example",
                        as_host_name(topology)
                    )),
            );
        }
    }

    /// Addresses have the word `cluster` where others have the datacenter.
    pub(super) fn datacenter_name(&mut self, written: &Located<String>) {
        self.host_name(written, "datacenter");
        if written.value == "cluster" {
            self.found.push(
                Diagnostic::error(
                    Code::ReservedName,
                    "the name `cluster` is reserved and cannot name a datacenter",
                )
                .at(written.span.clone(), "reserved for the AKS cluster")
                .remedy("rename the datacenter, for example to \"dc1\""),
            );
        }
    }

    /// The name is a part of URLs; `-` is the tailnet of the credentials.
    pub(super) fn tailnet_name(&mut self, written: &Located<String>) {
        let name = written.value.as_str();
        let is_legal = name == "-"
            || name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.chars().all(|one| one.is_ascii_alphanumeric() || "-._@+".contains(one))
                && !name.contains("..");
        if !is_legal {
            self.found.push(
                Diagnostic::error(
                    Code::IllegalTailnetName,
                    format!("invalid tailnet name `{name}`"),
                )
                .at(written.span.clone(), "expected letters, digits and `.@_+-`")
                .remedy(
                    "use the name that the admin console shows, such as \"example.com\", or \"-\" \
                     for the tailnet of the credentials",
                ),
            );
        }
    }

    pub(super) fn label(&mut self, key: &Located<String>, value: &Located<String>) {
        let value_legal = value.value.is_empty() || is_label_part(&value.value);
        if is_label_key(&key.value) && value_legal && !is_reserved_label(&key.value) {
            return;
        }
        let message = format!("invalid label `{}={}`", key.value, value.value);
        self.found.push(
            Diagnostic::error(Code::InvalidLabel, message)
                .at(key.span.clone(), "invalid or reserved")
                .remedy("use a key such as \"example.com/site\" and a value of at most 63 letters, digits and `-_.`"),
        );
    }

    pub(super) fn taint(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = text.rsplit_once(':').is_some_and(|(head, effect)| {
            let (key, value) = head.split_once('=').unwrap_or((head, ""));
            ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
                && is_label_key(key)
                && (value.is_empty() || is_label_part(value))
        });
        if !legal {
            self.found.push(
                Diagnostic::error(Code::InvalidLabel, format!("invalid taint `{text}`"))
                    .at(written.span.clone(), "expected `key=value:Effect`")
                    .remedy("use a taint such as \"site=remote:NoSchedule\""),
            );
        }
    }
}
