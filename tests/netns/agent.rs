//! The agent process of a namespace: it configures the namespace as instructed, and sends and
//! answers requests of the endpoints in it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pairs::{self, SOURCE_PORT};

/// The environment variable that makes this program an agent.
pub(crate) const AGENT_VARIABLE: &str = "STARGATE_NETNS_AGENT";

/// An instruction for an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Instruction {
    /// Runs a program that must succeed.
    RunCommand { words: Vec<String>, input: String },
    /// Writes files of the kernel.
    Write { files: Vec<(String, String)> },
    /// Answers requests of these pairs on the address.
    Listen { address: Ipv4Addr, pairs_to_answer: Vec<usize> },
    /// Opens a socket for requests from the address.
    OpenSender { address: Ipv4Addr },
    /// Sends the requests of these pairs, with source and destination addresses, and pauses after
    /// each.
    Send { state: u32, pause: Duration, requests: Vec<(usize, Ipv4Addr, Ipv4Addr)> },
    /// Reports the received packets.
    Report { state: u32 },
}

/// The packets that an agent received in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Pairs whose request was received.
    pub(crate) requests: BTreeSet<usize>,
    /// Pairs whose reply was received, with its source.
    pub(crate) answers: BTreeSet<(usize, SocketAddr)>,
}

#[derive(Debug, Default)]
struct Agent {
    senders: Vec<(Ipv4Addr, UdpSocket)>,
    received: Arc<Mutex<(u32, Received)>>,
}

/// Executes instructions, one line of them at a time.
pub(crate) fn serve() {
    let mut agent = Agent::default();
    for line in std::io::stdin().lock().lines() {
        let instructions: Vec<Instruction> = serde_json::from_str(&line.unwrap()).unwrap();
        let done: Result<Vec<String>, String> =
            instructions.into_iter().map(|instruction| agent.execute(instruction)).collect();
        let mut stderr = serde_json::to_string(&done).unwrap();
        stderr.push('\n');
        std::io::stdout().write_all(stderr.as_bytes()).unwrap();
    }
}

impl Agent {
    fn execute(&mut self, instruction: Instruction) -> Result<String, String> {
        match instruction {
            Instruction::RunCommand { words, input } => run(&words, &input),
            Instruction::Write { files } => write(&files).map(|()| String::new()),
            Instruction::Listen { address, pairs_to_answer } => {
                self.answer(address, &pairs_to_answer)
            }
            Instruction::OpenSender { address } => self.open(address),
            Instruction::Send { state, pause, requests } => {
                self.send_requests(state, pause, &requests);
                Ok(String::new())
            }
            Instruction::Report { state } => {
                let received = self.received.lock().map_err(|error| error.to_string())?;
                let report =
                    if received.0 == state { received.1.clone() } else { Received::default() };
                Ok(serde_json::to_string(&report).unwrap())
            }
        }
    }

    fn answer(&self, address: Ipv4Addr, pairs_to_answer: &[usize]) -> Result<String, String> {
        for pair in pairs_to_answer {
            let socket = bind(address, pairs::port(*pair))?;
            let received = Arc::clone(&self.received);
            std::thread::spawn(move || answer(&socket, &received));
        }
        Ok(String::new())
    }

    fn open(&mut self, address: Ipv4Addr) -> Result<String, String> {
        let senders = bind(address, SOURCE_PORT)?;
        let answers = senders.try_clone().map_err(|error| error.to_string())?;
        self.senders.push((address, senders));
        let received = Arc::clone(&self.received);
        std::thread::spawn(move || {
            each_packet(&answers, &received, |received, _, pair, from| {
                received.answers.insert((pair, from));
            });
        });
        Ok(String::new())
    }

    fn send_requests(&self, state: u32, pause: Duration, requests: &[(usize, Ipv4Addr, Ipv4Addr)]) {
        for (pair, from, to) in requests {
            let Some((_, socket)) = self.senders.iter().find(|(address, _)| address == from) else {
                continue;
            };
            // A packet that cannot be sent is never seen, which is a valid outcome.
            let _ = socket.send_to(&packet(state, *pair, false), (*to, pairs::port(*pair)));
            sleep(pause);
        }
    }
}

fn bind(address: Ipv4Addr, port: u16) -> Result<UdpSocket, String> {
    UdpSocket::bind((address, port)).map_err(|error| format!("{address}:{port}: {error}"))
}

fn packet(state: u32, pair: usize, answer: bool) -> Vec<u8> {
    let mut bytes = state.to_be_bytes().to_vec();
    bytes.extend(u32::try_from(pair).unwrap().to_be_bytes());
    bytes.resize(pairs::payload(pair, answer), 0);
    bytes
}

/// Handles each packet of a socket. Packets from an earlier state are late and ignored.
fn each_packet(
    socket: &UdpSocket,
    received: &Mutex<(u32, Received)>,
    mut note: impl FnMut(&mut Received, u32, usize, SocketAddr),
) {
    let mut bytes = vec![0; 65_536];
    loop {
        let Ok((_, from)) = socket.recv_from(&mut bytes) else { continue };
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let (state, pair) = (number(0), usize::try_from(number(4)).unwrap());
        let mut received = received.lock().unwrap();
        if received.0 < state {
            *received = (state, Received::default());
        }
        if received.0 == state {
            note(&mut received.1, state, pair, from);
        }
    }
}

fn answer(socket: &UdpSocket, received: &Mutex<(u32, Received)>) {
    each_packet(socket, received, |received, state, pair, from| {
        received.requests.insert(pair);
        let _ = socket.send_to(&packet(state, pair, true), from);
    });
}

fn run(words: &[String], input: &str) -> Result<String, String> {
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{words:?}: {error}"))?;
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{words:?}: {stderr}\n{input}")),
    }
}

fn write(files: &[(String, String)]) -> Result<(), String> {
    files.iter().try_for_each(|(path, text)| {
        std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))
    })
}
