//! The tailnet of a job: a SOCKS5 proxy, behind which each router of the sandbox has an SSH
//! server. The probe of a router answers with the state of the sandbox; other commands fail.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey, key::safe_rng};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
    run_stream,
};
use russh::{Channel, ChannelId};
use stargate::sandbox::folder::Folder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::router_machine;

/// The probe of a router is recognised by the first line of its script.
const PROBE: &str = "# stargate: probe the router\n";
const CONNECTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const HOST_UNREACHABLE: [u8; 10] = [5, 4, 0, 1, 0, 0, 0, 0, 0, 0];

/// A running proxy.
pub(super) struct Gateway {
    pub(super) port: u16,
    /// The key that the routers accept.
    pub(super) private_key: String,
    routers: Routers,
    _runtime: Runtime,
}

/// The routers of a sandbox.
#[derive(Clone)]
struct Routers {
    folder: PathBuf,
    topology: String,
    user: PublicKey,
    host_key: PrivateKey,
    /// The hosts that were probed.
    probed: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Serves the routers of the sandbox in a folder.
    pub(super) fn start(folder: PathBuf, topology: &str) -> Self {
        let new_key = || PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).expect("a key");
        let user = new_key();
        let routers = Routers {
            folder,
            topology: topology.to_owned(),
            user: user.public_key().clone(),
            host_key: new_key(),
            probed: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        runtime.spawn(serve(listener, routers.clone()));
        let private_key = user.to_openssh(LineEnding::LF).expect("a key in text").to_string();
        Self { port, private_key, routers, _runtime: runtime }
    }

    /// The hosts that were probed since the last time.
    pub(super) fn probed(&self) -> Vec<String> {
        std::mem::take(&mut *self.routers.probed.lock().expect("a lock"))
    }
}

async fn serve(listener: TcpListener, routers: Routers) {
    while let Ok((stream, _)) = listener.accept().await {
        let routers = routers.clone();
        tokio::spawn(async move {
            // A client that leaves ends its connection.
            let _ = connect(stream, routers).await;
        });
    }
}

/// Opens the connection that a client of the proxy requests.
async fn connect(mut stream: TcpStream, routers: Routers) -> Result<(), russh::Error> {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting).await?;
    let mut methods = vec![0; usize::from(greeting[1])];
    stream.read_exact(&mut methods).await?;
    stream.write_all(&[5, 0]).await?;
    let mut request = [0; 10];
    stream.read_exact(&mut request).await?;
    let address = Ipv4Addr::new(request[4], request[5], request[6], request[7]);
    let Some(answer) = routers.probe_output(address) else {
        stream.write_all(&HOST_UNREACHABLE).await?;
        return Ok(());
    };
    stream.write_all(&CONNECTED).await?;
    let config = Config {
        keys: vec![routers.host_key.clone()],
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    };
    let router = Router { user: routers.user.clone(), answer, commands: HashMap::new(), routers };
    run_stream(Arc::new(config), stream, router).await?.await
}

impl Routers {
    /// The name of the router at an address of the tailnet, and the output of its probe.
    fn probe_output(&self, address: Ipv4Addr) -> Option<(String, String)> {
        let state = Folder::read_saved(&self.folder).expect("the state of the sandbox");
        let is_there = |address_of: Option<Ipv4Addr>| address_of == Some(address);
        let mut hosts = state.hosts.values();
        let host = hosts.find(|it| is_there(it.tailscale.as_ref().and_then(|it| it.address)))?;
        let probe = host.probe_router(&state.tailnet);
        Some((probe.hostname.clone(), router_machine::output(&self.topology, &probe)))
    }
}

/// A connection to a router.
struct Router {
    user: PublicKey,
    answer: (String, String),
    /// The standard input of each command so far.
    commands: HashMap<ChannelId, Vec<u8>>,
    routers: Routers,
}

impl Handler for Router {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let is_known = offer.public_key.key_data() == self.user.key_data();
        Ok(if is_known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.commands.insert(channel, Vec::new());
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.commands.entry(channel).or_default().extend_from_slice(data);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let script = self.commands.remove(&channel).unwrap_or_default();
        let is_probe = String::from_utf8_lossy(&script).contains(PROBE);
        let (name, answer) = &self.answer;
        if is_probe {
            self.routers.probed.lock().expect("a lock").push(name.clone());
            session.data(channel, answer.clone().into_bytes())?;
        }
        session.exit_status_request(channel, u32::from(!is_probe))?;
        session.eof(channel)?;
        session.close(channel)
    }
}
