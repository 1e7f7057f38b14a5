//! Checks prefixes, addresses, versions and keys.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::located::{AddressText, CidrText, Located, MacText, VersionText};
use crate::topology::model::PublicKeySource;
use crate::topology::version::KubernetesVersion;

/// Public key types of OpenSSH.
const KEY_TYPES: [&str; 6] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
];

impl Checker<'_> {
    /// A prefix. With host bits set, reports them and assumes the enclosing prefix.
    pub(super) fn cidr(&mut self, written: &Located<CidrText>) -> Option<Ipv4Net> {
        let text: &str = &written.value;
        let Ok(parsed) = text.parse::<Ipv4Net>() else {
            self.found.push(invalid_cidr(text).at(written.span.clone(), "not an IPv4 prefix"));
            return None;
        };
        let corrected = parsed.trunc();
        if corrected != parsed {
            let message = format!("prefix `{parsed}` has host bits set");
            self.found.push(
                Diagnostic::error(Code::HostBits, message)
                    .at(written.span.clone(), format!("the prefix starts at {}", corrected.addr()))
                    .remedy(format!("use \"{corrected}\" if this is the intended prefix")),
            );
        }
        Some(corrected)
    }

    pub(super) fn optional_cidr(&mut self, written: Option<&Located<CidrText>>) -> Option<Ipv4Net> {
        written.and_then(|written| self.cidr(written))
    }

    pub(super) fn address(&mut self, written: &Located<AddressText>) -> Option<Ipv4Addr> {
        let text: &str = &written.value;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message = format!("invalid IPv4 address `{text}`");
            self.found.push(
                Diagnostic::error(Code::InvalidAddress, message)
                    .at(written.span.clone(), "not an IPv4 address")
                    .remedy("use an address such as \"10.50.1.5\""),
            );
        }
        parsed
    }

    pub(super) fn mac(&mut self, written: &Located<MacText>) -> String {
        let text: &str = &written.value;
        let pairs: Vec<&str> = text.split(':').collect();
        let hexadecimal = |pair: &&str| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok();
        if pairs.len() != 6 || !pairs.iter().all(hexadecimal) {
            let message = format!("invalid MAC address `{text}`");
            self.found.push(
                Diagnostic::error(Code::InvalidMac, message)
                    .at(written.span.clone(), "not a MAC address")
                    .remedy("use six pairs of hexadecimal digits, such as \"52:54:00:12:34:56\""),
            );
        }
        text.to_ascii_lowercase()
    }

    pub(super) fn version(&mut self, written: &Located<VersionText>) -> Option<KubernetesVersion> {
        let text: &str = &written.value;
        match text.parse::<KubernetesVersion>() {
            // Services compare versions as texts.
            Ok(version) if version.to_string() != text => {
                let message = format!("`{text}` is another spelling of a Kubernetes version");
                self.found.push(
                    Diagnostic::error(Code::InvalidVersion, message)
                        .at(
                            written.span.clone(),
                            "Kubernetes writes no `v`, signs or leading zeros",
                        )
                        .remedy(format!("use \"{version}\"")),
                );
                Some(version)
            }
            Ok(version) => Some(version),
            Err(error) => {
                self.found.push(
                    Diagnostic::error(Code::InvalidVersion, error.to_string())
                        .at(written.span.clone(), "not a version")
                        .remedy("use a version such as \"1.33\" or \"1.33.5\""),
                );
                None
            }
        }
    }

    pub(super) fn public_key(&mut self, written: &Located<String>) -> PublicKeySource {
        let text = written.value.trim();
        let source = if text.contains(' ') || text.starts_with("ssh-") || text.contains("-----") {
            PublicKeySource::Inline(text.to_owned())
        } else {
            PublicKeySource::File(text.to_owned())
        };
        let usable = match &source {
            PublicKeySource::Inline(key) => is_public_key(key),
            PublicKeySource::File(path) => !path.is_empty(),
        };
        if !usable {
            self.found.push(
                Diagnostic::error(
                    Code::InvalidSsh,
                    "`public_key` is neither a path nor a public key",
                )
                .at(written.span.clone(), "not a public key")
                .remedy(
                    "use a path such as \"~/.ssh/id_ed25519.pub\", or the content of that file",
                ),
            );
        }
        source
    }

    /// A path to a key file, which is not read here.
    pub(super) fn path(&mut self, written: &Located<String>) -> String {
        let text = written.value.trim();
        if text.is_empty() || text.contains(char::is_control) || text.contains("-----") {
            let problem = "invalid path of a key file";
            self.found.push(
                Diagnostic::error(Code::InvalidSsh, problem)
                    .at(written.span.clone(), "not a path")
                    .remedy("use a path such as \"~/.ssh/id_ed25519\"; do not paste a key"),
            );
        }
        text.to_owned()
    }

    /// The login user is also the administrator of new VMs, so the name is one
    /// that Azure accepts as `adminUsername`: at most 64 characters, no final dot
    /// (<https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update#osprofile>).
    pub(super) fn user(&mut self, written: &Located<String>) {
        let text = written.value.as_str();
        let legal = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && text.chars().all(|one| one.is_ascii_alphanumeric() || "._-".contains(one))
            && text.len() <= 64
            && !text.ends_with('.');
        if !legal {
            self.found.push(
                Diagnostic::error(Code::InvalidSsh, format!("invalid login user `{text}`"))
                    .at(written.span.clone(), "expected letters, digits, `.`, `_` and `-`")
                    .remedy("use the name of the login user, such as \"ubuntu\""),
            );
        }
    }

    pub(super) fn host_key(&mut self, written: Option<&Located<String>>) -> Option<String> {
        let written = written?;
        let text = written.value.trim();
        let fingerprint = text.strip_prefix("SHA256:").is_some_and(|rest| rest.len() >= 43);
        if !fingerprint && !is_public_key(text) {
            self.found.push(
                Diagnostic::error(Code::InvalidHostKey, "invalid pinned host key")
                    .at(written.span.clone(), "neither a public key nor a fingerprint")
                    .remedy(
                        "use \"ssh-ed25519 AAAA…\" as printed by `ssh-keyscan`, or \"SHA256:…\"",
                    ),
            );
        }
        Some(text.to_owned())
    }
}

fn is_public_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let kind = words.next().is_some_and(|kind| KEY_TYPES.contains(&kind));
    kind && words.next().is_some_and(|body| body.starts_with("AAAA"))
}

fn invalid_cidr(text: &str) -> Diagnostic {
    let found = Diagnostic::error(Code::InvalidCidr, format!("invalid IPv4 prefix `{text}`"));
    match text.parse::<Ipv4Addr>() {
        Ok(address) => found.remedy(format!(
            "add a prefix length: \"{address}/32\" is one address, \"{}\" is 256 addresses",
            Ipv4Net::new(address, 24).map(|net| net.trunc()).unwrap_or_default(),
        )),
        Err(_) => found.remedy("use an address and a prefix length, such as \"10.50.0.0/16\""),
    }
}
