//! The Unix socket by which `stargate watch --now` requests a reconcile of the watch that
//! runs on the same machine for the same user.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cli::error::CliError;
use crate::resource::names::TopologyName;
use crate::watch::{Trigger, Triggers};

/// How long the other end may take to send or to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time until the next attempt if the system cannot accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);
const REQUEST: &[u8; 4] = b"now\n";
const ANSWER: &[u8; 3] = b"ok\n";

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
    /// Takes requests for a topology.
    pub(super) async fn start(topology: &TopologyName, triggers: Triggers) -> io::Result<Self> {
        let path = path(topology).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "XDG_RUNTIME_DIR and HOME are not set")
        })?;
        let listener = bind(&path).await?;
        let mut task = JoinSet::new();
        task.spawn(accept(listener, triggers));
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
    let answered = timeout(ANSWER_TIMEOUT, send(&path)).await;
    let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    answered.map_err(|error| not_running(format!("{}: {error}", path.display())))
}

async fn send(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    match answer == *ANSWER {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "another program answers")),
    }
}

/// `$XDG_RUNTIME_DIR/stargate/watch-<topology>.sock`, or the same in `~/.stargate/run`.
fn path(topology: &TopologyName) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match variable("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("stargate"),
        None => PathBuf::from(variable("HOME")?).join(".stargate/run"),
    };
    Some(folder.join(format!("watch-{topology}.sock")))
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

async fn accept(listener: UnixListener, triggers: Triggers) {
    loop {
        match listener.accept().await {
            // One client after another: each has a few bytes to send.
            Ok((stream, _)) => {
                let _ = timeout(ANSWER_TIMEOUT, answer(stream, &triggers)).await;
            }
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn answer(mut stream: UnixStream, triggers: &Triggers) -> io::Result<()> {
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request).await?;
    if request == *REQUEST {
        triggers.add(Trigger::Request);
        stream.write_all(ANSWER).await?;
    }
    Ok(())
}
