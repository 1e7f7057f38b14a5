//! Records the first key of a host.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use russh::keys::{PublicKey, PublicKeyBase64};

use super::{HostKeyError, HostKeyVerifier, KeyStatus, KnownHostFiles, kind_of};

impl HostKeyVerifier {
    /// Adds the key to the user's file, unless another one was added while the connection was being
    /// established.
    pub(super) async fn record(&self, presented: &PublicKey) -> Result<(), HostKeyError> {
        let _writing = self.files.writing.lock().await;
        if let KeyStatus::Known = self.compare(&self.read().await?, presented)? {
            return Ok(());
        }
        let line =
            format!("{} {} {}\n", self.hostname, kind_of(presented), presented.public_key_base64());
        let path = self.files.user.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| self.file("recorded in", &self.files.user, error.to_string()))?;
        let hostname = self.hostname.as_str();
        tracing::info!(hostname, file = %self.files.user.display(), "recorded the host's first key");
        Ok(())
    }
}

impl KnownHostFiles {
    /// Removes the lines that [`HostKeyVerifier::record`] added for a host from the user's file:
    /// those with its name alone. Other lines that name the host are kept.
    pub(crate) async fn forget(&self, hostname: &str) -> std::io::Result<()> {
        let _writing = self.writing.lock().await;
        let (path, hostname) = (self.user.clone(), hostname.to_owned());
        let taken = tokio::task::spawn_blocking(move || remove_lines(&path, &hostname)).await;
        taken.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}

/// Atomically replaces the file by one without a host's lines.
fn remove_lines(path: &Path, hostname: &str) -> std::io::Result<()> {
    let before = match std::fs::read(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_of_host = |line: &[u8]| {
        line.strip_prefix(hostname.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
    };
    let lines = || before.split_inclusive(|byte| *byte == b'\n');
    if !lines().any(is_of_host) {
        return Ok(());
    }
    // If the path is a symbolic link, its target is replaced and the link is kept.
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let kept: Vec<u8> = lines().filter(|line| !is_of_host(line)).flatten().copied().collect();
    let part = folder.join(format!(".known_hosts.stargate.{}", std::process::id()));
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(&kept)?;
        file.set_permissions(std::fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)
    })();
    written.inspect_err(|_| drop(std::fs::remove_file(&part)))
}

/// Appends a line with one write, so that lines of concurrent writers are neither split nor lost.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let before = match std::fs::read(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let joint = match before.last() {
        None | Some(b'\n') => "",
        Some(_) => "\n",
    };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(format!("{joint}{line}").as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_line_is_appended_to_the_users_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".ssh/known_hosts");
        append(&path, "one\n").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mode = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(&path, "one\nunfinished").unwrap();
        append(&path, "two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nunfinished\ntwo\n");
    }

    #[tokio::test]
    async fn only_the_keys_of_a_deleted_machine_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let files = KnownHostFiles::new(path.clone(), Vec::new());
        files.forget("dc1-w1").await.unwrap();
        let others = "dc1-w10 ssh-ed25519 A\ndc1-w1,10.0.0.1 ssh-ed25519 B\n|1|x|y ssh-ed25519 C";
        std::fs::write(&path, format!("dc1-w1 ssh-ed25519 D\n{others}")).unwrap();
        files.forget("dc1-w1").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), others);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
