//! A running `sandbox serve`, and runs of the program that use its endpoints.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::location::{EXAMPLE, PROGRAM, TestFolder};

/// Variables of a run.
pub(super) type Environment = Vec<(String, String)>;

/// Nothing listens there: SSH to hosts fails at once instead of leaving the machine.
const NO_SSH: &str = "socks5://127.0.0.1:1";

/// A served sandbox in a folder with a topology that has its endpoints.
pub(super) struct Service {
    pub(super) folder: TestFolder,
    pub(super) endpoints: Value,
    process: Child,
}

/// A run with its times.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) code: Option<i32>,
    /// Standard output and standard error, with single spaces.
    pub(super) text: String,
    /// The time to the first line of either.
    pub(super) first: Duration,
    pub(super) total: Duration,
}

/// Starts `sandbox serve` in a folder, and returns its process and its endpoints.
pub(crate) fn serve(folder: &TestFolder, token_lifetime: Option<u32>) -> (Child, Value) {
    let mut command = Command::new(PROGRAM);
    command.args(["sandbox", "serve"]).current_dir(folder.path("")).env_clear();
    if let Some(seconds) = token_lifetime {
        command.args(["--token-lifetime", &seconds.to_string()]);
    }
    let mut process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    let out = process.stdout.take().expect("its output");
    BufReader::new(out).read_line(&mut line).expect("a line");
    (process, serde_json::from_str(&line).expect("the endpoints"))
}

/// The example with a URL of Azure Resource Manager.
pub(crate) fn topology_at(resource_manager: &str) -> String {
    let location = "location = \"canadacentral\"";
    let endpoint = format!("endpoints.resource_manager = \"{resource_manager}\"");
    EXAMPLE.replacen(location, &format!("{location}\n{endpoint}"), 1)
}

impl Service {
    pub(super) fn start(token_lifetime: Option<u32>) -> Self {
        let folder = TestFolder::new();
        folder.write(".ssh/id_ed25519.pub", "ssh-ed25519 AAAA me@here\n");
        let (process, endpoints) = serve(&folder, token_lifetime);
        let service = Self { folder, endpoints, process };
        service.write_topology(&service.url("azure"));
        service
    }

    /// Writes the topology with a URL of Azure Resource Manager.
    pub(super) fn write_topology(&self, resource_manager: &str) {
        self.folder.write("stargate.toml", topology_at(resource_manager));
    }

    pub(super) fn url(&self, api: &str) -> String {
        self.endpoints[api].as_str().expect("a URL").to_owned()
    }

    /// Registers or changes an identity of the sandbox.
    pub(super) fn identity(&self, arguments: &str) -> Value {
        let ran = self.folder.run(&format!("sandbox identity {arguments}")).exits(0);
        serde_json::from_str(&ran.out).expect("the identity")
    }

    /// The variables of every run: endpoints, trust and the tailnet's credential.
    fn common(&self) -> Environment {
        let certificate = self.folder.path(".stargate/sandbox/certificate.pem");
        environment(&[
            ("HOME", &self.folder.path("").to_string_lossy()),
            ("SSL_CERT_FILE", &certificate.to_string_lossy()),
            ("STARGATE_SSH_PROXY", NO_SSH),
            ("AZURE_AUTHORITY_HOST", &self.url("azure")),
            ("TAILSCALE_BASE_URL", &self.url("tailscale")),
            ("TAILSCALE_API_KEY", "sandbox"),
        ])
    }

    pub(super) fn command(&self, line: &str, variables: &Environment) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path("")).env_clear().envs(self.common());
        command.envs(variables.iter().cloned()).args(line.split_whitespace());
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, line: &str, variables: &Environment) -> Timed {
        let begin = Instant::now();
        let mut process = Running::start(self.command(line, variables));
        let first = process.lines.recv().ok();
        let first_after = begin.elapsed();
        let mut lines: Vec<String> = first.into_iter().collect();
        lines.extend(process.lines.iter());
        let code = process.child.wait().expect("an end").code();
        let text = lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        Timed { code, text, first: first_after, total: begin.elapsed() }
    }

    /// Stops it, so that it saves its log, and returns all requests: method, path and status.
    pub(super) fn stop(mut self) -> Vec<(String, String, u64)> {
        let process = self.process.id().to_string();
        let kill = Command::new("kill").args(["-INT", &process]).status();
        assert!(kill.expect("kill").success() && self.process.wait().expect("an end").success());
        let ran = self.folder.run("sandbox log --all --format json").exits(0);
        let log: Value = serde_json::from_str(&ran.out).expect("a log");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let request = |it: &Value| {
            (text(&it["method"]), text(&it["path"]), it["status"].as_u64().expect("a status"))
        };
        let runs = log["runs"].as_array().expect("runs").iter();
        runs.flat_map(|run| run["requests"].as_array().expect("requests")).map(request).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process whose lines of both streams arrive in a channel.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) lines: mpsc::Receiver<String>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = mpsc::channel();
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("its output"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("its messages"));
        for stream in [out, err] {
            let sender = sender.clone();
            thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.for_each(|line| drop(sender.send(line)));
            });
        }
        Self { child, lines }
    }

    /// Waits for a line with these words, for at most that long.
    pub(super) fn wait_for(&self, words: &str, limit: Duration) -> Duration {
        let begin = Instant::now();
        let mut seen = Vec::new();
        while let Some(left) = limit.checked_sub(begin.elapsed()) {
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return begin.elapsed(),
                Ok(line) => seen.push(line),
                Err(_) => break,
            }
        }
        panic!("no `{words}` within {limit:?} in:\n{}", seen.join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
