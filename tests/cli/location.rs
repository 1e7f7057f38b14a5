//! Temporary folders with a topology, and runs of the built program in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

/// The topology of `examples/aks-e2e`.
pub(crate) const EXAMPLE: &str = include_str!("../../examples/aks-e2e/stargate.toml");
/// The built program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_stargate");

/// A folder in which the program is run.
pub(crate) struct TestFolder(TempDir);

/// The result of a run of the program.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl TestFolder {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A folder with the example topology.
    pub(crate) fn new() -> Self {
        Self::with(EXAMPLE)
    }

    /// A folder with the given topology.
    pub(crate) fn with(topology: &str) -> Self {
        let location = Self::empty();
        location.write("stargate.toml", topology);
        location
    }

    /// A folder with a copy of a sandbox to which the example was applied.
    pub(crate) fn applied() -> Self {
        let location = Self::new();
        fs::create_dir_all(location.sandbox()).expect("a folder");
        fs::copy(applied().0.join("state.json"), location.sandbox().join("state.json"))
            .expect("the sandbox state");
        location
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn sandbox(&self) -> PathBuf {
        self.path(".stargate/sandbox")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// The program with arguments and an environment of `HOME` alone.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command.args(line.split_whitespace()).timeout(Duration::from_secs(240));
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(&mut self.command(line))
    }

    /// Every file with its content, except the lock, which names its last holder.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.0.path(), &mut found);
        found.retain(|path, _| !path.ends_with("lock"));
        found
    }
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts an error with this exit code, error code and text, with a remedy and
    /// without data.
    #[track_caller]
    pub(crate) fn fails(self, exit: i32, code: &str, words: &str) -> Self {
        let ran = self.exits(exit);
        assert_eq!(ran.out, "", "data beside an error");
        let all = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [&format!("[{code}]"), words, "help: "] {
            assert!(all.contains(part), "no `{part}` in:\n{}", ran.err);
        }
        for word in ["panicked", "RUST_BACKTRACE"] {
            assert!(!all.contains(word), "{}", ran.err);
        }
        ran
    }
}

/// Lines wider than 80 columns that could be wrapped.
pub(crate) fn too_wide(text: &str) -> Vec<&str> {
    let is_wide = |line: &&str| line.chars().count() > 80 && line.split_whitespace().count() > 2;
    text.lines().filter(is_wide).collect()
}

/// The sandbox after the README's first command, and the result of that run.
pub(crate) fn applied() -> &'static (PathBuf, Ran) {
    static APPLIED: OnceLock<(TempDir, (PathBuf, Ran))> = OnceLock::new();
    let make = || {
        let location = TestFolder::empty();
        location.write("examples/aks-e2e/stargate.toml", EXAMPLE);
        let ran = location.run(&first_command()).exits(0);
        let folder = location.path("examples/aks-e2e/.stargate/sandbox");
        (location.0, (folder, ran))
    };
    &APPLIED.get_or_init(make).1
}

/// The arguments of the README's first command.
fn first_command() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.expect("the README");
    let mut lines = readme.lines().skip_while(|line| *line != "```sh");
    let line = lines.find_map(|line| line.strip_prefix("cargo run -- "));
    line.expect("a first command").to_owned()
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            let content = fs::read(&path).expect("a file");
            found.insert(path, content);
        }
    }
}
