//! An SSH server on loopback. It runs commands locally, except for a few special ones.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session,
    VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodSet, Sig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::new_key;

/// The behaviour of a server.
#[derive(Clone)]
pub(super) struct ServerBehaviour {
    pub(super) host_keys: Vec<PrivateKey>,
    /// The keys that may log in.
    pub(super) users: Vec<PublicKey>,
    /// The maximum number of sessions of a connection.
    pub(super) max_sessions: usize,
    pub(super) forwards: bool,
    /// Whether it never responds to logins.
    pub(super) silent_login: bool,
    /// The maximum number of keys that may be tried.
    pub(super) max_attempts: usize,
}

/// The events of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) lines: Vec<String>,
    pub(super) peak: usize,
    pub(super) closed: usize,
    pub(super) signals: usize,
    pub(super) flooded: usize,
    pub(super) offered: Vec<PublicKey>,
    pub(super) logins: usize,
}

pub(super) struct TestServer {
    pub(super) port: u16,
    log: Arc<Mutex<Log>>,
    pub(super) host_key: PrivateKey,
    task: JoinHandle<()>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TestServer {
    pub(super) async fn start(user: &PrivateKey) -> Self {
        Self::with(user, |_| {}).await
    }

    pub(super) async fn with(user: &PrivateKey, change: impl FnOnce(&mut ServerBehaviour)) -> Self {
        let mut behaviour = ServerBehaviour {
            host_keys: vec![new_key()],
            users: vec![user.public_key().clone()],
            max_sessions: 10,
            forwards: true,
            silent_login: false,
            max_attempts: 6,
        };
        change(&mut behaviour);
        let config = Arc::new(Config {
            keys: behaviour.host_keys.clone(),
            auth_rejection_time: Duration::ZERO,
            max_auth_attempts: behaviour.max_attempts,
            methods: MethodSet::from(&[russh::MethodKind::PublicKey][..]),
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::<Mutex<Log>>::default();
        let host_key = behaviour.host_keys[0].clone();
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let guest = ServerConnection {
                    behaviour: behaviour.clone(),
                    log: Arc::clone(&shared),
                    open: Arc::default(),
                    running: HashMap::new(),
                };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(session) = run_stream(config, stream, guest).await {
                        let _ = session.await;
                    }
                });
            }
        });
        Self { port, log, host_key, task }
    }

    /// The events so far.
    pub(super) fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// A line of known_hosts for this server.
    pub(super) fn line(&self, name: &str) -> String {
        format!("{name} {}\n", self.host_key.public_key().to_openssh().unwrap())
    }
}

/// One connection.
struct ServerConnection {
    behaviour: ServerBehaviour,
    log: Arc<Mutex<Log>>,
    /// The open channels.
    open: Arc<Mutex<HashSet<ChannelId>>>,
    /// The command line and input of each channel.
    running: HashMap<ChannelId, (String, Vec<u8>)>,
}

impl ServerConnection {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// Executes a special command; returns whether it was one.
    fn run_special(&self, line: &str, channel: ChannelId, session: &mut Session) -> bool {
        let Some((_, special)) = line.split_once("'odd-") else { return false };
        match special.trim_end_matches('\'') {
            "hang" => {}
            "vanish" => session.close(channel).unwrap(),
            "signal" => {
                let text = String::new();
                session.exit_signal_request(channel, Sig::TERM, false, "killed", &text).unwrap();
                session.close(channel).unwrap();
            }
            "flood" => {
                tokio::spawn(flood(session.handle(), channel, Arc::clone(&self.log)));
            }
            "deaf" => {
                session.exit_status_request(channel, 0).unwrap();
                session.close(channel).unwrap();
            }
            other => panic!("{other} is too odd"),
        }
        true
    }
}

async fn flood(handle: Handle, channel: ChannelId, log: Arc<Mutex<Log>>) {
    let closed = log.lock().unwrap().closed;
    for _ in 0..4000 {
        if handle.data(channel, vec![b'x'; 32 * 1024]).await.is_err() {
            return;
        }
        let mut log = log.lock().unwrap();
        log.flooded += 32 * 1024;
        if log.closed > closed {
            return;
        }
    }
}

/// Runs a command line as sshd would, and sends its output and exit status.
async fn run(line: String, stdin: Vec<u8>, channel: ChannelId, handle: &Handle) {
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(&stdin);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    });
    let output = ran.await.unwrap();
    let _ = handle.data(channel, output.stdout).await;
    let _ = handle.extended_data(channel, 1, output.stderr).await;
    let status = output.status.code().map_or(255, i32::cast_unsigned);
    let _ = handle.exit_status_request(channel, status).await;
    let _ = handle.eof(channel).await;
}

impl Handler for ServerConnection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.log().offered.push(offer.public_key.clone());
        let known = |key: &PublicKey| key.key_data() == offer.public_key.key_data();
        if self.behaviour.silent_login {
            std::future::pending::<()>().await;
        }
        Ok(if self.behaviour.users.iter().any(known) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.log().logins += 1;
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let full = {
            let (mut open, mut log) = (self.open.lock().unwrap(), self.log());
            let full = open.len() >= self.behaviour.max_sessions;
            if !full {
                open.insert(channel.id());
            }
            log.peak = log.peak.max(open.len());
            full
        };
        match full {
            true => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            false => reply.accept().await,
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if !self.behaviour.forwards {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let port = u16::try_from(port).unwrap();
        match TcpStream::connect((host, port)).await {
            Ok(mut tcp) => {
                reply.accept().await;
                tokio::spawn(async move {
                    let mut stream = channel.into_stream();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut tcp).await;
                });
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let line = String::from_utf8(data.to_vec()).unwrap();
        self.log().lines.push(line.clone());
        if line.contains("odd-refuse") {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        if !self.run_special(&line, channel, session) {
            self.running.insert(channel, (line, Vec::new()));
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some((_, stdin)) = self.running.get_mut(&channel) {
            stdin.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some((line, stdin)) = self.running.remove(&channel) {
            let (open, handle) = (Arc::clone(&self.open), session.handle());
            tokio::spawn(async move {
                run(line, stdin, channel, &handle).await;
                // The client does not expect a notification for an end that it caused.
                open.lock().unwrap().remove(&channel);
                let _ = handle.close(channel).await;
            });
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        _channel: ChannelId,
        _signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.log().signals += 1;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.open.lock().unwrap().remove(&channel);
        self.log().closed += 1;
        Ok(())
    }
}
