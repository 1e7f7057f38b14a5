//! The Unix socket by which `stargate watch --now` requests a reconcile of the watch that
//! runs on the same machine for the same user.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::source::MovingPath;
use crate::cli::error::CliError;
use crate::resource::names::TopologyName;
use crate::watch::{Trigger, Triggers};

/// How long the other end may take to send or to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time until the next attempt if the system cannot accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);
/// The request; the path of a topology file may follow it.
const REQUEST: &[u8; 3] = b"now";
/// Longer than a path may be.
const MAX_REQUEST: u64 = 8_192;
const ACCEPTED: &[u8; 3] = b"ok\n";
/// The answer of a watch of another file.
const OTHER_FILE: &[u8; 3] = b"no\n";
const PREFIX: &str = "watch-";
const SUFFIX: &str = ".sock";

/// A socket that takes requests until it is dropped.
pub(super) struct RequestSocket {
    path: PathBuf,
    _task: JoinSet<()>,
}

impl Drop for RequestSocket {
    fn drop(&mut self) {
        // A path that remains is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl RequestSocket {
    /// Takes requests for a topology, whose file is `file`.
    pub(super) async fn start(
        topology: &TopologyName,
        file: MovingPath,
        triggers: Triggers,
    ) -> io::Result<Self> {
        let path = path(topology).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "XDG_RUNTIME_DIR and HOME are not set")
        })?;
        let listener = bind(&path).await?;
        let mut task = JoinSet::new();
        task.spawn(accept(listener, file, triggers));
        Ok(Self { path, _task: task })
    }
}

/// Requests a reconcile of the watch that runs.
pub(super) async fn request(topology: &TopologyName) -> Result<(), CliError> {
    let not_running = |reason: String| {
        CliError::new(format!("no `stargate watch` of {topology} can be reached: {reason}"))
            .remedy("start `stargate watch` as this user on this machine, or send it SIGHUP")
    };
    let path = path(topology)
        .ok_or_else(|| not_running("XDG_RUNTIME_DIR and HOME are not set".to_owned()))?;
    match send(&path, None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(not_running(format!("{}: {error}", path.display()))),
    }
}

/// Requests a reconcile of the watch that runs with a file, and returns its topology: a file
/// that is invalid does not name it. `None` if no watch has the file.
pub(super) async fn request_by_file(file: &Path) -> Option<TopologyName> {
    let file = comparable(file);
    for entry in fs::read_dir(folder()?).ok()?.flatten() {
        let name = entry.file_name();
        let topology = name.to_str().and_then(|it| it.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        let Some(topology) = topology else { continue };
        // One that does not answer is of a process that ended.
        if let Ok(true) = send(&entry.path(), Some(&file)).await {
            return Some(TopologyName::new(topology));
        }
    }
    None
}

/// The path of a file that does not depend on the working folder. A link stays one: its target
/// changes with each version of a ConfigMap volume.
fn comparable(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    match (fs::canonicalize(folder), file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

/// Sends a request. Returns whether it was accepted: not by the watch of another file.
async fn send(socket: &Path, file: Option<&Path>) -> io::Result<bool> {
    let answered = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&request_line(file)).await?;
        let mut answer = [0; ACCEPTED.len()];
        stream.read_exact(&mut answer).await?;
        match &answer {
            ACCEPTED => Ok(true),
            OTHER_FILE => Ok(false),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "another program answers")),
        }
    };
    timeout(ANSWER_TIMEOUT, answered).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn request_line(file: Option<&Path>) -> Vec<u8> {
    let mut line = REQUEST.to_vec();
    if let Some(file) = file {
        line.push(b' ');
        line.extend_from_slice(file.as_os_str().as_bytes());
    }
    line.push(b'\n');
    line
}

/// `$XDG_RUNTIME_DIR/stargate/watch-<topology>.sock`, or the same in `~/.stargate/run`.
fn path(topology: &TopologyName) -> Option<PathBuf> {
    Some(folder()?.join(format!("{PREFIX}{topology}{SUFFIX}")))
}

fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match variable("XDG_RUNTIME_DIR") {
        Some(runtime) => Some(PathBuf::from(runtime).join("stargate")),
        None => Some(PathBuf::from(variable("HOME")?).join(".stargate/run")),
    }
}

/// Binds a path that only this user can use. The path of a process that ended without
/// removing it is replaced.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Before the socket has its own mode, the mode of the folder keeps others out.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if UnixStream::connect(path).await.is_ok() {
        let text = format!("another `stargate watch` uses {}", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, file: MovingPath, triggers: Triggers) {
    loop {
        match listener.accept().await {
            // One client after another: each has a few bytes to send.
            Ok((stream, _)) => {
                let _ = timeout(ANSWER_TIMEOUT, answer(stream, &file, &triggers)).await;
            }
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn answer(stream: UnixStream, file: &MovingPath, triggers: &Triggers) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = Vec::new();
    (&mut stream).take(MAX_REQUEST).read_until(b'\n', &mut request).await?;
    if request == request_line(None) || request == request_line(Some(&comparable(&file.get()))) {
        triggers.add(Trigger::Request);
        stream.write_all(ACCEPTED).await
    } else if request.starts_with(REQUEST) {
        stream.write_all(OTHER_FILE).await
    } else {
        Ok(())
    }
}
