//! One way to put a value into a shell's text.

/// A value holds a NUL byte, which no argument of a command can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a NUL byte cannot be passed to a command")]
pub struct HoldsNul;

/// The value as one word of a POSIX shell, whatever it holds.
///
/// A value that begins with a dash is still taken for an option by the program
/// that gets it: put `--` before it.
///
/// # Errors
///
/// When the value holds a NUL byte.
pub fn quote(value: &str) -> Result<String, HoldsNul> {
    if value.contains('\0') {
        return Err(HoldsNul);
    }
    Ok(format!("'{}'", value.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a real shell makes of the quoted value.
    fn echoed(value: &str) -> String {
        let line = format!("printf %s {}", quote(value).unwrap());
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_shell_gives_back_what_was_quoted() {
        let hostile = [
            "",
            "plain",
            "two words",
            "it's",
            "''",
            "'; rm -rf / #",
            "a\nb\n",
            "\r\n",
            "$(id)",
            "`id`",
            "${HOME}",
            "~",
            "*",
            "\\",
            "\\'",
            "\"",
            "!history",
            "-rf",
            "--",
            "a=b",
            "ä 🦀",
            "\u{1b}[31m",
            "{a,b}",
            "&& false || true; exit 7",
        ];
        for value in hostile {
            assert_eq!(echoed(value), value);
        }
    }

    #[test]
    fn a_nul_byte_is_refused() {
        assert_eq!(quote("a\0b"), Err(HoldsNul));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_value_comes_back(value in "[^\0]{0,40}") {
            prop_assert_eq!(echoed(&value), value);
        }
    }
}
