//! A file put onto a host, all of it or nothing.

use std::fmt;

use bytes::Bytes;

use super::command::{CommandError, RemoteCommand};
use super::quote::quote;

/// A file as it shall be on a host.
#[derive(Clone)]
pub struct Upload {
    /// The absolute path.
    pub path: String,
    /// What is in it; never shown.
    pub content: Bytes,
    /// The permissions, as in `0o600`.
    pub mode: u32,
    /// The owner, as in `root:root`.
    pub owner: String,
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, content, mode, owner } = self;
        write!(formatter, "Upload({path}, {} bytes, {mode:o}, {owner})", content.len())
    }
}

impl Upload {
    /// The command that puts the file there, as root. Folders above it are made
    /// where they are missing. A reader sees the old file or the new one, and
    /// content that did not arrive whole changes nothing.
    ///
    /// # Errors
    ///
    /// When the path or the owner holds a NUL byte.
    pub fn command(&self) -> Result<RemoteCommand, CommandError> {
        let script = format!(
            "set -eu
umask 077
path={path}
if [ -d \"$path\" ]; then echo \"$path is a folder\" >&2; exit 1; fi
folder=$(dirname -- \"$path\")
(umask 022 && mkdir -p -- \"$folder\")
new=$(mktemp -- \"$folder/.stargate.XXXXXXXX\")
trap 'rm -f -- \"$new\"' EXIT
trap 'exit 1' HUP INT TERM
cat > \"$new\"
if [ \"$(wc -c < \"$new\")\" -ne {length} ]; then echo 'only a part arrived' >&2; exit 1; fi
chown -- {owner} \"$new\"
chmod {mode:04o} \"$new\"
mv -f -- \"$new\" \"$path\"
trap - EXIT
",
            path = quote(&self.path)?,
            length = self.content.len(),
            owner = quote(&self.owner)?,
            mode = self.mode & 0o7777,
        );
        let label = format!("write {}", self.path);
        Ok(RemoteCommand::script(label, script).stdin(self.content.clone()).as_root())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    use super::*;

    fn upload(path: &Path) -> Upload {
        let owner = Command::new("sh").args(["-c", "echo $(id -un):$(id -gn)"]).output().unwrap();
        Upload {
            path: path.to_str().unwrap().to_owned(),
            content: Bytes::from_static(b"marked\0content\n"),
            mode: 0o640,
            owner: String::from_utf8(owner.stdout).unwrap().trim().to_owned(),
        }
    }

    /// Runs what a host would run, here.
    fn here(upload: &Upload, stdin: &[u8]) -> Output {
        let prepared = upload.command().unwrap().prepare("root").unwrap();
        let mut child = Command::new("sh")
            .args(["-c", &prepared.line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        child.wait_with_output().unwrap()
    }

    fn entries(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_appears_with_its_mode_below_new_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's new/-dashed $(file)");
        let upload = upload(&path);
        for _ in 0..2 {
            let output = here(&upload, &upload.content);
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), &upload.content[..]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(entries(path.parent().unwrap()), 1);
    }

    #[test]
    fn half_of_the_content_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let output = here(&upload(&path), b"marked");
        assert!(!output.status.success());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_folder_is_not_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let upload = upload(folder.path());
        assert!(!here(&upload, &upload.content).status.success());
        assert_eq!(entries(folder.path()), 0);
        assert!(!format!("{upload:?}").contains("marked"));
    }
}
