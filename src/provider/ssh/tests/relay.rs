//! A TCP relay between client and server that can count, cut and freeze connections, and can be a
//! SOCKS5 proxy.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) struct Relay {
    pub(super) port: u16,
    state: Arc<State>,
    frozen: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    wires: Mutex<Vec<JoinHandle<()>>>,
    /// The destinations that the proxy was asked for.
    requested: Mutex<Vec<(String, u16)>>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Relay {
    /// A relay to a port.
    pub(super) async fn to(port: u16) -> Self {
        Self::start(Some(port)).await
    }

    /// A SOCKS5 proxy that resolves every name to loopback.
    pub(super) async fn proxy() -> Self {
        Self::start(None).await
    }

    async fn start(port: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let (frozen, watched) = watch::channel(false);
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (state, mut watched) = (Arc::clone(&shared), watched.clone());
                let wire = tokio::spawn(async move {
                    let port = match port {
                        Some(port) => port,
                        None => serve_socks(&mut near, &state).await,
                    };
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let ice = async { watched.changed().await.is_ok() };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // The connections stay open, without any traffic.
                        _ = ice => std::future::pending().await,
                    }
                });
                shared.wires.lock().unwrap().push(wire);
            }
        });
        Self { port: own, state, frozen, task }
    }

    /// The number of connections so far.
    pub(super) fn connections(&self) -> usize {
        self.state.wires.lock().unwrap().len()
    }

    /// Cuts every connection; new ones work.
    pub(super) fn cut(&self) {
        for wire in self.state.wires.lock().unwrap().iter() {
            wire.abort();
        }
    }

    /// Stops all traffic without closing connections.
    pub(super) fn freeze(&self) {
        self.frozen.send(true).unwrap();
    }

    /// The destinations that the proxy was asked for.
    pub(super) fn requested(&self) -> Vec<(String, u16)> {
        self.state.requested.lock().unwrap().clone()
    }
}

async fn serve_socks(near: &mut TcpStream, state: &State) -> u16 {
    let mut greeting = [0; 3];
    near.read_exact(&mut greeting).await.unwrap();
    near.write_all(&[5, 0]).await.unwrap();
    let mut head = [0; 4];
    near.read_exact(&mut head).await.unwrap();
    let host = match head[3] {
        1 => {
            let mut octets = [0; 4];
            near.read_exact(&mut octets).await.unwrap();
            std::net::Ipv4Addr::from(octets).to_string()
        }
        _ => {
            let length = near.read_u8().await.unwrap();
            let mut name = vec![0; length.into()];
            near.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
    };
    let port = near.read_u16().await.unwrap();
    state.requested.lock().unwrap().push((host, port));
    near.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await.unwrap();
    port
}
