//! The name of this process, for people who wait for it.

use std::process;

/// The user, host and ID of this process, as in `jane@jumpbox pid 4242 (9f3c1a2b)`. The
/// last part distinguishes containers with the same host name and process ID.
pub(crate) fn of_this_process() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME")).or_else(|| variable("USERNAME"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| variable("HOSTNAME")).or_else(|| variable("COMPUTERNAME"));
    named(
        user.as_deref().unwrap_or("unknown"),
        host.as_deref().map_or("unknown", str::trim),
        process::id(),
        random(),
    )
}

/// `holderIdentity` is free text; characters that a terminal cannot show are removed.
fn named(user: &str, host: &str, pid: u32, random: u32) -> String {
    let plain =
        |text: &str| -> String { text.chars().filter(char::is_ascii_graphic).take(64).collect() };
    format!("{}@{} pid {pid} ({random:08x})", plain(user), plain(host))
}

fn random() -> u32 {
    // Without randomness the rest of the name must do.
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_printable_line() {
        assert_eq!(named("jane", "box", 7, 0x9f), "jane@box pid 7 (0000009f)");
        assert_eq!(named("ja\x1b[1mne\n", "bo x", 7, 1), "ja[1mne@box pid 7 (00000001)");
    }

    #[test]
    fn two_processes_have_different_names() {
        assert_ne!(of_this_process(), of_this_process());
    }
}
