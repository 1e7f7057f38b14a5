//! The other side of an agent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::agent::{IS_AGENT, Order};

/// WireGuard's doors are named after its devices, which are all called the same.
const START: &str = "mount -t tmpfs tmpfs /run/wireguard && exec \"$1\"";

/// An agent in its namespace.
#[derive(Debug)]
pub(crate) struct Remote {
    name: String,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    /// Makes a namespace and starts an agent in it.
    pub(crate) fn new(name: &str) -> Self {
        let made = Command::new("ip").args(["netns", "add", name]).status().unwrap();
        assert!(made.success(), "no namespace {name}");
        let mut child = Command::new("ip")
            .args(["netns", "exec", name, "sh", "-c", START, "start"])
            .arg(std::env::current_exe().unwrap())
            .env(IS_AGENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { name: name.to_owned(), child, orders, answers }
    }

    /// Gives orders without waiting for them to be carried out.
    pub(crate) fn tell(&mut self, orders: &[Order]) {
        let mut line = serde_json::to_string(orders).unwrap();
        line.push('\n');
        self.orders.write_all(line.as_bytes()).unwrap();
    }

    /// What became of the orders that were given first of those still open.
    pub(crate) fn hear(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let done: Result<Vec<String>, String> = serde_json::from_str(&line).unwrap();
        done.unwrap_or_else(|said| panic!("{}: {said}", self.name))
    }

    /// Gives orders and waits.
    pub(crate) fn carry_out(&mut self, orders: &[Order]) -> Vec<String> {
        self.tell(orders);
        self.hear()
    }

    /// Runs commands of a shell.
    pub(crate) fn sh(&mut self, text: &str) -> String {
        self.carry_out(&[run(&["sh", "-eu"], text)]).remove(0)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The order to run a program.
pub(crate) fn run(words: &[&str], input: &str) -> Order {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Order::Run { words, input: input.to_owned() }
}
