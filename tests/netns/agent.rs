//! A process in one namespace: it sets the namespace up as it is told, asks for
//! the ends that live there, and answers for them.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pairs::{self, ASKING_PORT};

/// Says to this program that it is an agent.
pub(crate) const IS_AGENT: &str = "STARGATE_REACH_AGENT";

/// What an agent is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Run a program that must succeed.
    Run { words: Vec<String>, input: String },
    /// Write files of the kernel's.
    Write { files: Vec<(String, String)> },
    /// Answer on that address for these pairs.
    Answer { address: Ipv4Addr, asked: Vec<usize> },
    /// Be ready to ask from that address.
    Open { address: Ipv4Addr },
    /// Ask for these pairs, from and to these addresses, with a pause after each.
    Ask { state: u32, pause: Duration, asks: Vec<(usize, Ipv4Addr, Ipv4Addr)> },
    /// Say what was heard.
    Report { state: u32 },
}

/// What an agent heard in one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// Pairs whose request came.
    pub(crate) requests: BTreeSet<usize>,
    /// Pairs whose answer came, and from where.
    pub(crate) answers: BTreeSet<(usize, SocketAddr)>,
}

#[derive(Debug, Default)]
struct Agent {
    asking: Vec<(Ipv4Addr, UdpSocket)>,
    heard: Arc<Mutex<(u32, Heard)>>,
}

/// Does what it is told, a line of orders at a time.
pub(crate) fn serve() {
    let mut agent = Agent::default();
    for line in std::io::stdin().lock().lines() {
        let orders: Vec<Order> = serde_json::from_str(&line.unwrap()).unwrap();
        let done: Result<Vec<String>, String> =
            orders.into_iter().map(|order| agent.carry_out(order)).collect();
        let mut said = serde_json::to_string(&done).unwrap();
        said.push('\n');
        std::io::stdout().write_all(said.as_bytes()).unwrap();
    }
}

impl Agent {
    fn carry_out(&mut self, order: Order) -> Result<String, String> {
        match order {
            Order::Run { words, input } => run(&words, &input),
            Order::Write { files } => write(&files).map(|()| String::new()),
            Order::Answer { address, asked } => self.answer(address, &asked),
            Order::Open { address } => self.open(address),
            Order::Ask { state, pause, asks } => {
                self.ask(state, pause, &asks);
                Ok(String::new())
            }
            Order::Report { state } => {
                let heard = self.heard.lock().map_err(|error| error.to_string())?;
                let told = if heard.0 == state { heard.1.clone() } else { Heard::default() };
                Ok(serde_json::to_string(&told).unwrap())
            }
        }
    }

    fn answer(&self, address: Ipv4Addr, asked: &[usize]) -> Result<String, String> {
        for pair in asked {
            let socket = bind(address, pairs::port(*pair))?;
            let heard = Arc::clone(&self.heard);
            std::thread::spawn(move || answer(&socket, &heard));
        }
        Ok(String::new())
    }

    fn open(&mut self, address: Ipv4Addr) -> Result<String, String> {
        let asking = bind(address, ASKING_PORT)?;
        let answers = asking.try_clone().map_err(|error| error.to_string())?;
        self.asking.push((address, asking));
        let heard = Arc::clone(&self.heard);
        std::thread::spawn(move || {
            each_packet(&answers, &heard, |heard, _, pair, from| {
                heard.answers.insert((pair, from));
            });
        });
        Ok(String::new())
    }

    fn ask(&self, state: u32, pause: Duration, asks: &[(usize, Ipv4Addr, Ipv4Addr)]) {
        for (pair, from, to) in asks {
            let Some((_, socket)) = self.asking.iter().find(|(address, _)| address == from) else {
                continue;
            };
            // What cannot be sent at all is seen nowhere: that is an outcome, too.
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

/// Notes each packet that comes to a socket; what an earlier state sent is late.
fn each_packet(
    socket: &UdpSocket,
    heard: &Mutex<(u32, Heard)>,
    mut note: impl FnMut(&mut Heard, u32, usize, SocketAddr),
) {
    let mut bytes = vec![0; 65_536];
    loop {
        let Ok((_, from)) = socket.recv_from(&mut bytes) else { continue };
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let (state, pair) = (number(0), usize::try_from(number(4)).unwrap());
        let mut heard = heard.lock().unwrap();
        if heard.0 < state {
            *heard = (state, Heard::default());
        }
        if heard.0 == state {
            note(&mut heard.1, state, pair, from);
        }
    }
}

fn answer(socket: &UdpSocket, heard: &Mutex<(u32, Heard)>) {
    each_packet(socket, heard, |heard, state, pair, from| {
        heard.requests.insert(pair);
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
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{words:?}: {said}\n{input}")),
    }
}

fn write(files: &[(String, String)]) -> Result<(), String> {
    files.iter().try_for_each(|(path, text)| {
        std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))
    })
}
