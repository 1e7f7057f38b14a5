//! Parses OpenSSH's known_hosts files, as described in sshd(8).

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// A host's key in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The kind, as in `ssh-ed25519`.
    pub kind: String,
    /// The public key in SSH's binary format.
    pub blob: Vec<u8>,
    /// Whether it is revoked.
    pub revoked: bool,
    /// The file and line.
    pub place: FileLine,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The file.
    pub path: PathBuf,
    /// The line number, from 1.
    pub line: usize,
}

impl std::fmt::Display for FileLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} line {}", self.path.display(), self.line)
    }
}

/// The keys in a file for a name, which is a host name, an address, or `[name]:port` if the port is
/// not 22.
///
/// Comments and invalid lines are skipped, as OpenSSH does. Certificate authorities are not
/// supported and are skipped, too: a host is known by its own key.
pub fn keys_for(text: &str, path: &Path, name: &str) -> Vec<KnownKey> {
    let lines = text.lines().zip(1..);
    lines.filter_map(|(line, number)| key_of_line(line, path, number, name)).collect()
}

fn key_of_line(line: &str, path: &Path, number: usize, name: &str) -> Option<KnownKey> {
    let mut words = line.split_ascii_whitespace().peekable();
    let marker = words.next_if(|word| word.starts_with('@'));
    let hosts = words.next().filter(|word| !word.starts_with('#'))?;
    let (kind, body) = (words.next()?, words.next()?);
    if !matches(hosts, name) {
        return None;
    }
    let place = FileLine { path: path.to_owned(), line: number };
    match marker {
        None | Some("@revoked") => {}
        Some("@cert-authority") => {
            tracing::debug!(%place, name, "certificate authorities of hosts are not supported");
            return None;
        }
        Some(_) => return None,
    }
    let Ok(blob) = STANDARD.decode(body) else {
        tracing::debug!(%place, name, "the line contains no key");
        return None;
    };
    Some(KnownKey { kind: kind.to_owned(), blob, revoked: marker.is_some(), place })
}

/// Whether a line's list of hosts contains the name, by pattern or by hash.
fn matches(hosts: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return matches_hash(hashed, &name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            // A negated pattern excludes the name, regardless of the other patterns.
            Some(pattern) if matches_pattern(pattern, &name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, &name),
        }
    }
    found
}

/// `SALT|HASH`, both in base64: the HMAC-SHA1 of the name.
fn matches_hash(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

/// Whether a pattern with `*` and `?` matches a lower-case name.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // The position of the last star, and how much of the name it has matched.
    let mut star = None;
    while let Some(&letter) = name.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&desired) if desired == b'?' || desired == letter => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|&rest| rest == b'*')
}

/// The form of a host with a port: the port is included only if it is not 22.
pub fn name_with_port(name: &str, port: u16) -> String {
    match port {
        22 => name.to_owned(),
        port => format!("[{name}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn lines_for(text: &str, name: &str) -> Vec<usize> {
        let found = keys_for(text, Path::new("known_hosts"), name);
        found.into_iter().map(|key| key.place.line).collect()
    }

    fn known(hosts: &str, name: &str) -> bool {
        !lines_for(&format!("{hosts} ssh-ed25519 {KEY} comment"), name).is_empty()
    }

    #[test]
    fn hosts_are_matched_as_openssh_does() {
        for (hosts, name, expected) in [
            ("dc1-router", "dc1-router", true),
            ("DC1-Router", "dc1-router", true),
            ("dc1-router", "DC1-ROUTER", true),
            ("dc1-router", "dc1-router-2", false),
            ("one,two,three", "two", true),
            ("10.1.1.5", "10.1.1.5", true),
            ("[10.1.1.5]:2222", "[10.1.1.5]:2222", true),
            ("[10.1.1.5]:2222", "10.1.1.5", false),
            ("10.1.1.5", "[10.1.1.5]:2222", false),
            ("dc1-*", "dc1-worker-1", true),
            ("dc?-worker-*", "dc1-worker-1", true),
            ("dc?-worker-*", "dc10-worker-1", false),
            ("*", "anything", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("dc1-*,!dc1-worker-9", "dc1-worker-1", true),
            ("dc1-*,!dc1-worker-9", "dc1-worker-9", false),
            ("!dc1-worker-9,dc1-*", "dc1-worker-9", false),
            ("!dc1-worker-9", "dc1-worker-1", false),
            ("|1|no base64|neither", "dc1-worker-1", false),
            ("|1|", "dc1-worker-1", false),
        ] {
            assert_eq!(known(hosts, name), expected, "{hosts} and {name}");
        }
    }

    /// Lines that `ssh-keygen -H` made of `dc1-router` and `[10.1.1.5]:2222`.
    const HASHED: &str = include_str!("tests/hashed_known_hosts");

    #[test]
    fn hashed_names_are_found() {
        assert_eq!(lines_for(HASHED, "dc1-router"), [1]);
        assert_eq!(lines_for(HASHED, "[10.1.1.5]:2222"), [2]);
        assert!(lines_for(HASHED, "10.1.1.5").is_empty());
    }

    #[test]
    fn markers_comments_and_invalid_lines_are_distinguished() {
        let text = format!(
            "# comment\n\n@cert-authority * ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}\n\
             a ssh-ed25519\na ssh-ed25519 not-base64!\n  a\tssh-ed25519 {KEY}\r\n@other a ssh-ed25519 {KEY}\n"
        );
        let found = keys_for(&text, Path::new("file"), "a");
        let seen: Vec<_> = found.iter().map(|key| (key.place.line, key.revoked)).collect();
        assert_eq!(seen, [(4, true), (7, false)]);
        assert_eq!(found[0].place.to_string(), "file line 4");
    }

    #[test]
    fn the_port_is_written_unless_it_is_22() {
        assert_eq!(name_with_port("host", 22), "host");
        assert_eq!(name_with_port("host", 2222), "[host]:2222");
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[ -~\n|@!*?\u{e4}]{0,200}", name in "[a-c.*?]{0,8}") {
            let _ = keys_for(&text, Path::new("file"), &name);
        }

        #[test]
        fn stars_match_anything(start in "[a-b]{0,3}", end in "[a-b]{0,3}", middle in "[a-b]{0,6}") {
            let (pattern, name) = (format!("{start}*{end}"), format!("{start}{middle}{end}"));
            prop_assert!(matches_pattern(&pattern, &name));
        }
    }
}
