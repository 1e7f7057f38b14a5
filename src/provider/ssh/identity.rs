//! Key files, read once and unlocked at most once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::{PrivateKey, PublicKey, decode_secret_key, load_public_key};
use tokio::sync::Mutex;

use super::settings::PassphraseSource;
use crate::provider::files::unreadable;

/// Why an RSA key cannot be used.
const NO_RSA: &str = "it is an RSA key, which this build cannot use; create an ed25519 key \
                      (`ssh-keygen -t ed25519`), load it into an agent, or use a build with the \
                      feature `ssh-rsa`";

/// A key file.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    state: Mutex<KeyState>,
}

/// The state of a key file.
#[derive(Debug, Clone)]
pub(super) enum KeyState {
    /// It was not read yet.
    Unread,
    /// It is ready for use.
    Ready(Arc<PrivateKey>),
    /// It needs a passphrase. The public key is known.
    Locked(Box<PublicKey>),
    /// It cannot be used, for this reason.
    Unusable(String),
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::new(KeyState::Unread) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The public key, from the `.pub` file or the key file itself.
    pub(super) async fn public(
        &self,
        passphrases: &Arc<dyn PassphraseSource>,
    ) -> Option<PublicKey> {
        match self.read(passphrases).await {
            KeyState::Ready(key) => Some(key.public_key().clone()),
            KeyState::Locked(key) => Some(*key),
            KeyState::Unread | KeyState::Unusable(_) => beside(&self.path),
        }
    }

    /// Reads the file, and unlocks it only if the public key is needed for that.
    pub(super) async fn read(&self, passphrases: &Arc<dyn PassphraseSource>) -> KeyState {
        let mut state = self.state.lock().await;
        if matches!(*state, KeyState::Unread) {
            let (path, passphrases) = (self.path.clone(), Arc::clone(passphrases));
            *state = run_blocking(move || read(&path, passphrases.as_ref())).await;
        }
        state.clone()
    }

    /// Unlocks the file, or returns why it stays locked. Of several concurrent callers one asks for
    /// the passphrase, and all get the result.
    pub(super) async fn unlock(&self, passphrases: &Arc<dyn PassphraseSource>) -> KeyState {
        let mut state = self.state.lock().await;
        if matches!(*state, KeyState::Locked(_)) {
            let (path, passphrases) = (self.path.clone(), Arc::clone(passphrases));
            *state = run_blocking(move || unlock(&path, passphrases.as_ref())).await;
        }
        state.clone()
    }
}

/// Key derivation takes a while, and asking for a passphrase even longer, so both run on a blocking
/// thread.
async fn run_blocking(work: impl FnOnce() -> KeyState + Send + 'static) -> KeyState {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| KeyState::Unusable(format!("reading it failed: {error}")))
}

fn read(path: &Path, passphrases: &dyn PassphraseSource) -> KeyState {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return KeyState::Unusable(format!("it {}", unreadable(&error))),
    };
    if let Ok(key) = PrivateKey::from_openssh(&text)
        && key.is_encrypted()
    {
        return match fit(key.public_key()) {
            Ok(()) => KeyState::Locked(Box::new(key.public_key().clone())),
            Err(reason) => KeyState::Unusable(reason),
        };
    }
    match decode_secret_key(&text, None) {
        Ok(key) => ready(key),
        // Older formats encrypt the public key, too.
        Err(error) if text.contains("ENCRYPTED") => match beside(path) {
            Some(public) => KeyState::Locked(Box::new(public)),
            None => opened(&text, path, passphrases, &error.to_string()),
        },
        Err(error) if text.contains("BEGIN RSA PRIVATE KEY") && !cfg!(feature = "ssh-rsa") => {
            tracing::debug!(%error, "an RSA key is skipped");
            KeyState::Unusable(NO_RSA.to_owned())
        }
        Err(error) => KeyState::Unusable(format!("it contains no readable key: {error}")),
    }
}

fn unlock(path: &Path, passphrases: &dyn PassphraseSource) -> KeyState {
    match std::fs::read_to_string(path) {
        Ok(text) => opened(&text, path, passphrases, "it is encrypted"),
        Err(error) => KeyState::Unusable(format!("it {}", unreadable(&error))),
    }
}

fn opened(text: &str, path: &Path, passphrases: &dyn PassphraseSource, locked: &str) -> KeyState {
    let Some(passphrase) = passphrases.passphrase(path) else {
        let remedy = "set STARGATE_SSH_KEY_PASSPHRASE, or load the key into an agent (`ssh-add`)";
        tracing::debug!(reason = locked, "no passphrase for a key file");
        return KeyState::Unusable(format!("it is encrypted and there is no passphrase; {remedy}"));
    };
    match decode_secret_key(text, Some(passphrase.expose())) {
        Ok(key) => ready(key),
        Err(_) => KeyState::Unusable("the passphrase does not decrypt it".to_owned()),
    }
}

fn ready(key: PrivateKey) -> KeyState {
    match fit(key.public_key()) {
        Ok(()) => KeyState::Ready(Arc::new(key)),
        Err(reason) => KeyState::Unusable(reason),
    }
}

fn fit(key: &PublicKey) -> Result<(), String> {
    match key.algorithm().is_rsa() && !cfg!(feature = "ssh-rsa") {
        true => Err(NO_RSA.to_owned()),
        false => Ok(()),
    }
}

/// Reads `id_ed25519.pub` next to `id_ed25519`.
fn beside(path: &Path) -> Option<PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    load_public_key(PathBuf::from(name)).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::provider::secret::Secret;
    use crate::provider::ssh::settings::FixedPassphrase;

    /// Creates a key with `ssh-keygen`; `None` if it is not installed.
    fn key(folder: &Path, options: &[&str]) -> Option<KeyFile> {
        let path = folder.join("key");
        let status =
            Command::new("ssh-keygen").arg("-q").args(options).arg("-f").arg(&path).status();
        status.ok().filter(std::process::ExitStatus::success)?;
        Some(KeyFile::new(path))
    }

    fn none() -> Arc<dyn PassphraseSource> {
        Arc::new(FixedPassphrase(None))
    }

    #[tokio::test]
    async fn keys_of_every_kind_are_read() {
        for (kind, form) in [
            ("ed25519", &[][..]),
            ("ecdsa", &[][..]),
            ("ecdsa", &["-b", "521"][..]),
            ("ecdsa", &["-m", "PEM"][..]),
            ("ecdsa", &["-m", "PKCS8"][..]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let options = [&["-t", kind, "-N", ""][..], form].concat();
            let Some(file) = key(folder.path(), &options) else {
                return println!("skipped: there is no ssh-keygen");
            };
            let state = file.read(&none()).await;
            assert!(matches!(state, KeyState::Ready(_)), "{kind} {form:?}: {state:?}");
        }
    }

    /// Counts how often a passphrase is requested.
    #[derive(Debug)]
    struct Counting(AtomicUsize, &'static str);

    impl PassphraseSource for Counting {
        fn passphrase(&self, _key_file: &Path) -> Option<Secret> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Some(Secret::new(self.1))
        }
    }

    #[tokio::test]
    async fn a_locked_key_is_unlocked_once() {
        for form in [&[][..], &["-m", "PKCS8"][..]] {
            let folder = tempfile::tempdir().unwrap();
            let options = [&["-t", "ecdsa", "-N", "marked", "-a", "1"][..], form].concat();
            let Some(file) = key(folder.path(), &options) else {
                return println!("skipped: there is no ssh-keygen");
            };
            let source = Arc::new(Counting(AtomicUsize::new(0), "marked"));
            let passphrases: Arc<dyn PassphraseSource> = source.clone();
            let KeyState::Locked(public) = file.read(&passphrases).await else {
                panic!("not locked")
            };
            assert_eq!(source.0.load(Ordering::SeqCst), 0);
            let states = futures::future::join_all((0..4).map(|_| file.unlock(&passphrases))).await;
            for state in states {
                let KeyState::Ready(ready) = state else { panic!("{form:?}: {state:?}") };
                assert_eq!(ready.public_key().key_data(), public.key_data());
            }
            assert_eq!(source.0.load(Ordering::SeqCst), 1);
        }
    }

    #[tokio::test]
    async fn unusable_keys_have_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let Some(file) = key(folder.path(), &["-t", "ed25519", "-N", "marked", "-a", "1"]) else {
            return println!("skipped: there is no ssh-keygen");
        };
        file.read(&none()).await;
        let KeyState::Unusable(reason) = file.unlock(&none()).await else { panic!() };
        assert!(reason.contains("STARGATE_SSH_KEY_PASSPHRASE"), "{reason}");
        let wrong: Arc<dyn PassphraseSource> = Arc::new(Counting(AtomicUsize::new(0), "wrong"));
        let again = KeyFile::new(file.path().to_owned());
        again.read(&wrong).await;
        let KeyState::Unusable(reason) = again.unlock(&wrong).await else { panic!() };
        assert!(reason.contains("does not decrypt") && !reason.contains("wrong"), "{reason}");
        let KeyState::Unusable(reason) = KeyFile::new("/nowhere/key".into()).read(&none()).await
        else {
            panic!()
        };
        assert!(reason.contains("cannot be read"), "{reason}");
    }

    #[cfg(not(feature = "ssh-rsa"))]
    #[tokio::test]
    async fn an_rsa_key_has_a_remedy() {
        for options in [&["-N", ""][..], &["-N", "", "-m", "PEM"], &["-N", "marked", "-a", "1"]] {
            let folder = tempfile::tempdir().unwrap();
            let options = [&["-t", "rsa", "-b", "2048"][..], options].concat();
            let Some(file) = key(folder.path(), &options) else {
                return println!("skipped: there is no ssh-keygen");
            };
            let state = file.read(&none()).await;
            let KeyState::Unusable(reason) = state else { panic!("{options:?}: {state:?}") };
            assert!(reason.contains("ssh-keygen -t ed25519"), "{reason}");
        }
    }
}
