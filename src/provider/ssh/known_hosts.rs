//! The files in which OpenSSH notes host keys, as sshd(8) describes them.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// A key that a file holds for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The kind, as in `ssh-ed25519`.
    pub kind: String,
    /// The public key in SSH's binary form.
    pub blob: Vec<u8>,
    /// Whether it must never be accepted.
    pub revoked: bool,
    /// Where it is written.
    pub place: Place,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} line {}", self.path.display(), self.line)
    }
}

/// The keys that a file's text holds for a name, which is a host's name, an
/// address, or `[name]:port` where the port is not 22.
///
/// Comments and lines that make no sense are passed over, as OpenSSH does. So
/// are certificate authorities, which are not supported: a host is known by its
/// own key.
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
    let place = Place { path: path.to_owned(), line: number };
    match marker {
        None | Some("@revoked") => {}
        Some("@cert-authority") => {
            tracing::debug!(%place, name, "certificate authorities of hosts are not supported");
            return None;
        }
        Some(_) => return None,
    }
    let Ok(blob) = STANDARD.decode(body) else {
        tracing::debug!(%place, name, "the line holds no key");
        return None;
    };
    Some(KnownKey { kind: kind.to_owned(), blob, revoked: marker.is_some(), place })
}

/// Whether a line's list of hosts holds the name, by patterns or by its hash.
fn matches(hosts: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, &name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            // A name that is taken out stays out, whatever else the line holds.
            Some(pattern) if fits(pattern, &name) => return false,
            Some(_) => {}
            None => found |= fits(pattern, &name),
        }
    }
    found
}

/// `SALT|HASH`, both in base64: the HMAC-SHA1 of the name.
fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

/// Whether a pattern with `*` and `?` fits a name in lower case.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the name it has taken.
    let mut star = None;
    while let Some(&letter) = name.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == letter => {
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

/// How a host on a port is written: the port only where it is not 22.
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
    fn markers_comments_and_nonsense_are_told_apart() {
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
    fn only_another_port_is_written() {
        assert_eq!(name_with_port("host", 22), "host");
        assert_eq!(name_with_port("host", 2222), "[host]:2222");
    }

    proptest! {
        #[test]
        fn no_text_brings_it_down(text in "[ -~\n|@!*?\u{e4}]{0,200}", name in "[a-c.*?]{0,8}") {
            let _ = keys_for(&text, Path::new("file"), &name);
        }

        #[test]
        fn stars_stand_for_anything(start in "[a-b]{0,3}", end in "[a-b]{0,3}", middle in "[a-b]{0,6}") {
            let (pattern, name) = (format!("{start}*{end}"), format!("{start}{middle}{end}"));
            prop_assert!(fits(&pattern, &name));
        }
    }
}
