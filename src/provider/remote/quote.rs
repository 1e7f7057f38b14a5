//! Quotes values for scripts and command lines. Every value passes through here.

/// Quotes any value as one word of a POSIX shell.
///
/// Newlines are kept: within single quotes they are ordinary characters, and the contents of files
/// have them. A NUL byte, which no shell can represent, becomes U+FFFD: the value is then wrong,
/// but its end stays the same, and none of it is read as a command.
///
/// A value that begins with a dash is an option to the command that gets it; scripts put values
/// after `--` or behind an `=`.
pub fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for character in value.chars() {
        match character {
            // Closes the quotes, adds the character itself, and opens them again.
            '\'' => quoted.push_str("'\\''"),
            '\0' => quoted.push('\u{fffd}'),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// The value as a shell reads it from its quoted form.
    fn echoed(value: &str) -> String {
        let script = format!("printf %s {}", quote(value));
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert!(output.status.success(), "{value:?}: {output:?}");
        assert_eq!(output.stderr, b"", "{value:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn hostile_values_are_quoted() {
        let hostile = [
            "",
            "'",
            "''",
            "'; touch /tmp/owned; '",
            "$(touch /tmp/owned)",
            "`id`",
            "a\\",
            "\\'",
            "-n",
            "--help",
            "%s%n",
            "two\nlines\n",
            "\r\n\t\u{1b}[2J",
            "!! * ? ~ # $HOME \"double\"",
            "é ü 漢字 \u{200b}",
        ];
        for value in hostile {
            assert_eq!(echoed(value), value);
        }
    }

    #[test]
    fn a_nul_byte_becomes_a_replacement_character() {
        assert_eq!(quote("a\0'b"), "'a\u{fffd}'\\''b'");
        assert_eq!(echoed("a\0; id"), "a\u{fffd}; id");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn quoting_round_trips(value in "(?s)[^\\x00]{0,40}") {
            prop_assert_eq!(echoed(&value), value);
        }

        #[test]
        fn shell_characters_round_trip(value in "['\"$`\\\\;&|<>(){}\\[\\]*?!#~=% \t\n-]{0,30}") {
            prop_assert_eq!(echoed(&value), value);
        }
    }
}
