//! Packets between network namespaces: ICMP echoes and TCP connections.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The port that ends listen on.
const PORT: u16 = 8080;
/// The bytes that a connection carries: enough for many segments of full size.
const PAYLOAD: usize = 1 << 20;
/// How long a network may take to settle after a change.
const SETTLING_TIME: Duration = Duration::from_secs(20);

/// An end of connections: a network namespace and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) address: String,
    /// The file that stands for the namespace.
    pub(crate) namespace: String,
}

/// The packets that passed from one end to another and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// An ICMP echo was answered.
    pub(crate) echo: bool,
    /// A TCP connection delivered all of its bytes.
    pub(crate) stream: bool,
}

impl Passed {
    pub(crate) const ALL: Self = Self { echo: true, stream: true };
    pub(crate) const NOTHING: Self = Self { echo: false, stream: false };
}

impl std::fmt::Display for Passed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |passed| if passed { "yes" } else { "no" };
        write!(formatter, "ping {}, TCP {}", word(self.echo), word(self.stream))
    }
}

/// A server of an end, which ends with this value.
pub(crate) struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl End {
    /// An end in a named namespace.
    pub(crate) fn named(namespace: &str, address: &str) -> Self {
        Self {
            name: namespace.to_owned(),
            address: address.to_owned(),
            namespace: format!("/run/netns/{namespace}"),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace)).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Serves the payload, which lies in the folder, to every connection.
    pub(crate) fn listen(&self, folder: &Path) -> Listener {
        let file = folder.join("payload");
        if !file.exists() {
            std::fs::write(&file, vec![b'x'; PAYLOAD]).unwrap();
        }
        let place = format!("{}:{PORT}", self.address);
        let folder = folder.to_str().unwrap();
        let serve = ["busybox", "httpd", "-f", "-p", &place, "-h", folder];
        Listener(self.command(&serve).spawn().unwrap())
    }

    /// Sends packets to another end, and returns which were answered within some seconds.
    pub(crate) fn send_to(&self, other: &Self) -> Passed {
        let echo = ["ping", "-n", "-q", "-c", "1", "-w", "2", &other.address];
        let url = format!("http://{}:{PORT}/payload", other.address);
        // It fails unless all of the payload arrives.
        let stream = [
            "curl",
            "--silent",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            "4",
            "--connect-timeout",
            "2",
            &url,
        ];
        let mut begun = [&echo[..], &stream[..]].map(|words| self.command(words).spawn().unwrap());
        let [echo, stream] = &mut begun;
        Passed { echo: echo.wait().unwrap().success(), stream: stream.wait().unwrap().success() }
    }

    /// Sends until the expected packets pass, or the network has had time to settle. Returns what
    /// passed in the end, and after which time.
    pub(crate) fn send_until(&self, other: &Self, expected: Passed) -> (Passed, Duration) {
        let begun = Instant::now();
        loop {
            let passed = self.send_to(other);
            if passed == expected || begun.elapsed() > SETTLING_TIME {
                return (passed, begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
