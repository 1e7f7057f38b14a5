//! A machine that runs jobs: a checkout with a topology, a temporary folder, and stubs on
//! the PATH.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::location::{PROGRAM, TestFolder};

/// The folder of the templates.
pub(super) const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ci");

const STUBS: [(&str, &str); 6] = [
    ("cargo", include_str!("stubs/cargo")),
    ("curl", include_str!("stubs/curl")),
    ("gh", include_str!("stubs/gh")),
    ("git", include_str!("stubs/git")),
    ("tailscale", include_str!("stubs/tailscale")),
    ("tailscaled", include_str!("stubs/tailscaled")),
];

/// A template as JSON.
pub(super) fn template(name: &str) -> Value {
    let text = fs::read_to_string(Path::new(TEMPLATES).join(name)).expect("a template");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// A machine that runs jobs.
pub(super) struct Runner {
    pub(super) folder: TestFolder,
    /// The environment of every step.
    pub(super) environment: BTreeMap<String, String>,
    /// Folders before those of the system.
    path: Vec<PathBuf>,
}

/// The result of a step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Runner {
    /// A machine with an applied deployment in the sandbox.
    pub(super) fn new() -> Self {
        let folder = TestFolder::applied();
        for name in ["stub/bin", "stub/state", "stub/artifacts", "temp", "sessions"] {
            fs::create_dir_all(folder.path(name)).expect("a folder");
        }
        for (name, text) in STUBS {
            let file = format!("stub/bin/{name}");
            folder.write(&file, text);
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.path(&file), mode).expect("an executable");
        }
        symlink(PROGRAM, folder.path("stub/program")).expect("a link");
        let mut runner =
            Self { path: vec![folder.path("stub/bin")], folder, environment: BTreeMap::new() };
        let path = |name: &str| runner.folder.path(name).display().to_string();
        let own = [
            ("HOME", path("temp")),
            ("STUB", path("stub")),
            ("TMPDIR", path("sessions")),
            ("SOURCES", env!("CARGO_MANIFEST_DIR").to_owned()),
        ];
        runner.environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
        runner.set(&[
            ("TAILSCALE_CLIENT_ID", "client-1"),
            ("STARGATE_SSH_KEY_SECRET", "https://vault.test/secrets/ssh"),
        ]);
        runner
    }

    pub(super) fn set(&mut self, variables: &[(&str, &str)]) {
        let own = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment.extend(own);
    }

    /// Puts a folder before the others on the PATH.
    pub(super) fn prepend_path(&mut self, folder: &str) {
        self.path.insert(0, folder.into());
    }

    /// Runs a script of a template in the checkout with `bash` and these options.
    pub(super) fn bash(&self, options: &[&str], script: &str, extra: &[(&str, String)]) -> Step {
        self.folder.write("temp/step.sh", script);
        let output = self
            .command(extra)
            .args(["--noprofile", "--norc"])
            .args(options)
            .arg(self.folder.path("temp/step.sh"))
            .output()
            .expect("bash runs");
        let step = Step::of(&output);
        self.assert_nothing_is_left();
        step
    }

    /// `bash` with the environment of the machine.
    pub(super) fn command(&self, extra: &[(&str, String)]) -> Command {
        let system = std::env::var("PATH").expect("a PATH");
        let folders = self.path.iter().map(|it| it.display().to_string()).chain([system]);
        let mut command = Command::new("bash");
        command.current_dir(self.folder.path("")).env_clear().envs(&self.environment);
        command.env("PATH", folders.collect::<Vec<_>>().join(":"));
        command.envs(extra.iter().map(|(name, value)| (name, value)));
        command
    }

    /// No process of a session is running, and its files are gone.
    #[track_caller]
    pub(super) fn assert_nothing_is_left(&self) {
        let left: Vec<_> = fs::read_dir(self.folder.path("sessions"))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "files of a session");
        let ours = format!("STUB={}", self.folder.path("stub").display());
        // A process that is ending may be seen once more.
        let running = || -> Vec<String> {
            let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
            let is_ours = |environment: &[u8]| {
                environment.split(|byte| *byte == 0).any(|it| it == ours.as_bytes())
            };
            let of_ours = processes.filter(|entry| {
                fs::read(entry.path().join("environ")).is_ok_and(|it| is_ours(&it))
            });
            let line = |path: PathBuf| fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            of_ours.map(|entry| line(entry.path())).filter(|line| !line.is_empty()).collect()
        };
        for _ in 0..50 {
            if running().is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("processes of a session: {:?}", running());
    }

    /// The calls of the stubs since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        let path = self.folder.path("stub/calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").expect("a file");
        calls.lines().map(str::to_owned).collect()
    }

    /// How the program was called since the last time.
    pub(super) fn stargate_calls(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.starts_with("stargate ")).collect()
    }

    /// A list that the platform holds.
    pub(super) fn state(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path(&format!("stub/state/{name}.json")));
        text.map_or(Vec::new(), |text| serde_json::from_str(&text).expect("JSON"))
    }

    pub(super) fn set_state(&self, name: &str, state: &Value) {
        self.folder.write(&format!("stub/state/{name}.json"), state.to_string());
    }

    /// Injects a fault into the sandbox.
    pub(super) fn inject(&self, fault: &str) {
        self.folder.run(&format!("sandbox break {fault}")).exits(0);
    }

    /// Whether the infrastructure differs from the topology.
    pub(super) fn has_drift(&self) -> bool {
        match self.folder.run("drift --sandbox").code {
            0 => false,
            2 => true,
            code => panic!("drift ended with {code}"),
        }
    }
}

impl Step {
    pub(super) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let code = output.status.code().expect("an exit code, not a signal");
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}
