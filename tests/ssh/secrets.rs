//! Keys and tokens appear in no file, argument list or log, neither after a join nor after a failed
//! one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stargate::apply::ApplyStatus;

use super::apply::iterate;
use super::harness::RefreshOptions;
use super::lab::{Lab, ROUTER, WORKERS};
use super::namespaces::run_isolated;

type ObservedArguments = Arc<Mutex<BTreeSet<Vec<u8>>>>;

/// The arguments of all observed processes.
struct Arguments {
    observed: ObservedArguments,
    stop: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<()>,
}

impl Arguments {
    fn watch() -> Self {
        let (observed, stop): (ObservedArguments, Arc<AtomicBool>) = Default::default();
        let (found, until) = (Arc::clone(&observed), Arc::clone(&stop));
        let looking = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    for list in ["cmdline", "environ"] {
                        let words = fs::read(process.path().join(list)).unwrap_or_default();
                        found.lock().unwrap().insert(words);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { observed, stop, looking }
    }

    fn end(self) -> BTreeSet<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.join().unwrap();
        std::mem::take(&mut self.observed.lock().unwrap())
    }
}

fn contains(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|part| part == secret.as_bytes())
}

/// Files below a folder that contain a secret.
fn files_with(folder: &Path, secrets: &BTreeSet<String>, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            files_with(&path, secrets, found);
        } else if kind.is_file() {
            let text = fs::read(&path).unwrap_or_default();
            if secrets.iter().any(|secret| contains(&text, secret)) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// Asserts that no secret is on the disks, in the memory file systems, or in the logs of stub
/// programs of any host.
fn assert_absent(lab: &Lab, when: &str) {
    let secrets = lab.secrets.lock().unwrap().clone();
    // The stub program stores its key, as tailscaled does.
    let _ = fs::remove_file(lab.machines.all()[ROUTER].stub_file("tailscale-state/key"));
    let mut found = Vec::new();
    files_with(&lab.file(""), &secrets, &mut found);
    assert_eq!(found, Vec::<String>::new(), "{when}");
    for host in [ROUTER, WORKERS[0].0, WORKERS[1].0] {
        for secret in &secrets {
            let found = lab.machines.all()[host]
                .sh(&format!("grep -rlF -e '{secret}' /run /tmp /root 2>/dev/null || true"));
            assert_eq!(found, "", "{when}");
        }
    }
    let sandbox = lab.deployment.copy_of_state();
    let text = serde_json::to_vec(&sandbox).unwrap();
    // The auth key itself is an object of the tailnet, so the tailnet may contain it.
    let tokens = secrets.iter().filter(|secret| !secret.starts_with("tskey-"));
    assert!(tokens.into_iter().all(|token| !contains(&text, token)), "{when}");
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn no_secret_is_left_or_logged() {
    run_isolated(async |lab| {
        let arguments = Arguments::watch();
        // A join that fails while the token is on the host.
        let worker = WORKERS[0].0;
        fs::write(lab.machines.all()[worker].stub_file("broken-kubelet"), "").unwrap();
        let applied = lab.deployment.apply(&RefreshOptions::default()).await;
        assert_ne!(applied.status, ApplyStatus::Converged);
        let mut observed = arguments.end();
        assert_absent(lab, "after a failed join");
        fs::remove_file(lab.machines.all()[worker].stub_file("broken-kubelet")).unwrap();
        let arguments = Arguments::watch();
        iterate(lab).await;
        observed.extend(arguments.end());
        assert_absent(lab, "after all joins");
        let secrets = lab.secrets.lock().unwrap().clone();
        assert!(secrets.len() >= 4, "a key, and a token for each join");
        assert!(observed.iter().any(|words| contains(words, "tailscale")), "it was looked at");
        for secret in &secrets {
            let rendered = observed.iter().find(|words| contains(words, secret));
            let rendered = rendered.map(|words| String::from_utf8_lossy(words).into_owned());
            assert_eq!(rendered, None);
        }
    });
}
