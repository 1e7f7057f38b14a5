//! The stand-in of cloud-init: it runs a machine's user data.

use serde::Deserialize;

use super::machine::Machine;

/// The parts of user data that stargate uses.
#[derive(Debug, Deserialize)]
struct UserData {
    #[serde(default)]
    write_files: Vec<WrittenFile>,
    #[serde(default)]
    runcmd: Vec<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct WrittenFile {
    path: String,
    permissions: String,
    content: String,
}

/// Runs user data on a machine that has its network.
pub(crate) fn run(machine: &Machine, text: &str) {
    let data: UserData = serde_saphyr::from_str(text).unwrap();
    for file in data.write_files {
        let WrittenFile { path, permissions, content } = file;
        let quoted = quote(&content);
        machine.sh(&format!(
            "mkdir -p \"$(dirname {path})\"; (umask 077; printf %s {quoted} >{path})
             chmod {permissions} {path}"
        ));
    }
    // As cloud-init does, the commands go on after one that fails.
    let commands: Vec<String> = data
        .runcmd
        .iter()
        .map(|words| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
        .collect();
    machine.sh(&format!(
        "set +e\n(\n:\n{}\n) >/var/log/cloud-init-output.log 2>&1 </dev/null",
        commands.join("\n")
    ));
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
