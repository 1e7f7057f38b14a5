//! A relay between a watch and the API server: its connections can be cut, refused, paused, and kept
//! open without passing anything on.

use std::future::pending;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the relay treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It passes everything on.
    Open,
    /// It ends connections, and accepts none.
    Closed,
    /// It passes on what arrives once it is open again, as after a pause of the client.
    Paused,
    /// It keeps its connections open, and never passes anything on to them again.
    HalfOpen,
}

/// A relay on a port of loopback.
pub(super) struct Wire {
    pub(super) port: u16,
    state: Arc<watch::Sender<State>>,
    _task: JoinSet<()>,
}

impl Wire {
    /// A relay to a port of loopback.
    pub(super) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State::Open));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, target, state.clone()));
        Self { port, state, _task: task }
    }

    pub(super) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn accept(listener: TcpListener, target: u16, state: Arc<watch::Sender<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        // One that is dropped is refused.
        if *state.borrow() != State::Closed {
            connections.spawn(relay(client, target, state.subscribe()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(client: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let gate = state.clone();
    tokio::select! {
        () = pump(from_client, to_server, gate.clone()) => {}
        () = pump(from_server, to_client, gate) => {}
        _ = state.wait_for(|state| *state == State::Closed) => {}
    }
}

/// Waits until the relay is open; for ever, if its end of the connection is lost.
async fn opens(gate: &mut watch::Receiver<State>) {
    let found = gate.wait_for(|state| matches!(state, State::Open | State::HalfOpen)).await;
    let is_lost = found.is_ok_and(|state| *state == State::HalfOpen);
    if is_lost {
        pending::<()>().await;
    }
}

async fn is_lost(gate: &mut watch::Receiver<State>) {
    let _ = gate.wait_for(|state| *state == State::HalfOpen).await;
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 << 10];
    let mut lost = gate.clone();
    loop {
        let read = tokio::select! {
            biased;
            () = is_lost(&mut lost) => pending().await,
            read = from.read(&mut buffer) => read,
        };
        opens(&mut gate).await;
        match read {
            Ok(length) if length > 0 => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}
