//! Masks secrets in output, such as a private key that was pasted into a
//! topology.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Patterns of secrets. The group `secret` is masked, or the whole match without it.
const PATTERNS: [&str; 8] = [
    // A private key, up to its end or the end of the text.
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    // Keys and secrets of Tailscale.
    r"tskey-[A-Za-z0-9_-]+",
    // JSON web tokens.
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.?[A-Za-z0-9_-]*",
    // Secrets of Azure's service principals.
    r"[A-Za-z0-9_.~-]{3}[78]Q~[A-Za-z0-9_.~-]{20,}",
    // Bootstrap tokens of Kubernetes.
    r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b",
    // The password in the address of a proxy.
    r"://[^/@\s:]*:(?<secret>[^/@\s]+)@",
    r#"\b(?i-u:bearer) +(?<secret>[^\s"',;]{8,})"#,
    // The value of a key that names a secret.
    concat!(
        r"(?i-u:secret|password|passwd|passphrase|token|api_?key|auth_?key|access_?key",
        r#"|private_?key|credentials?)[A-Za-z0-9_-]*["']?\s*=\s*["']{1,3}(?<secret>[^"'\n]+)"#
    ),
];

static SECRETS: LazyLock<Vec<Regex>> =
    LazyLock::new(|| PATTERNS.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect());

/// The text with an asterisk for every byte of a secret; offsets and lines are
/// unchanged.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for pattern in SECRETS.iter() {
        let positions: Vec<_> = pattern
            .captures_iter(&masked)
            .filter_map(|found| found.name("secret").or_else(|| found.get(0)))
            .map(|found| found.range())
            .collect();
        for place in positions {
            let mask = mask(&masked[place.clone()]);
            masked.to_mut().replace_range(place, &mask);
        }
    }
    masked
}

fn mask(secret: &str) -> String {
    secret
        .bytes()
        .map(|byte| if matches!(byte, b'\n' | b'\r') { byte.into() } else { '*' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_valid() {
        assert_eq!(SECRETS.len(), PATTERNS.len());
    }

    #[test]
    fn secrets_are_masked_and_places_kept() {
        let cases = [
            ("a = \"tskey-api-marked\"", "a = \"****************\""),
            ("client_secret = \"märked\" # mine", "client_secret = \"*******\" # mine"),
            ("Authorization: Bearer marked-marked", "Authorization: Bearer *************"),
            ("abc8Q~marked-marked-marked", "**************************"),
            ("token abcdef.0123456789abcdef", "token ***********************"),
            ("http://me:marked@proxy:3128/", "http://me:******@proxy:3128/"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nmarked\n",
                "*******************************\n******\n",
            ),
        ];
        for (text, masked) in cases {
            assert_eq!(redact(text), masked);
            assert_eq!(text.len(), masked.len());
        }
    }

    #[test]
    fn other_text_is_not_masked() {
        for text in [
            "public_key = \"~/.ssh/id_ed25519.pub\"",
            "host_keys = \"accept-new\"",
            "public_key = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRl me\"",
            "the token is missing; set TAILSCALE_API_KEY, or TAILSCALE_CLIENT_SECRET",
            "gateway.example.com",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}
