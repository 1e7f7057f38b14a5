//! The client side of an agent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::agent::{AGENT_VARIABLE, Instruction};

/// WireGuard's sockets are named after its devices, which have the same name in every namespace.
const START: &str = "mount -t tmpfs tmpfs /run/wireguard && exec \"$1\"";

/// An agent in its namespace.
#[derive(Debug)]
pub(crate) struct Remote {
    name: String,
    child: Child,
    instructions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    /// Creates a namespace and starts an agent in it.
    pub(crate) fn new(name: &str) -> Self {
        let made = Command::new("ip").args(["netns", "add", name]).status().unwrap();
        assert!(made.success(), "no namespace {name}");
        let mut child = Command::new("ip")
            .args(["netns", "exec", name, "sh", "-c", START, "start"])
            .arg(std::env::current_exe().unwrap())
            .env(AGENT_VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let instructions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { name: name.to_owned(), child, instructions, answers }
    }

    /// Sends instructions without waiting for their execution.
    pub(crate) fn send(&mut self, instructions: &[Instruction]) {
        let mut line = serde_json::to_string(instructions).unwrap();
        line.push('\n');
        self.instructions.write_all(line.as_bytes()).unwrap();
    }

    /// Waits for the results of the oldest pending instructions.
    pub(crate) fn receive(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let done: Result<Vec<String>, String> = serde_json::from_str(&line).unwrap();
        done.unwrap_or_else(|reply| panic!("{}: {reply}", self.name))
    }

    /// Sends instructions and waits for their results.
    pub(crate) fn execute(&mut self, instructions: &[Instruction]) -> Vec<String> {
        self.send(instructions);
        self.receive()
    }

    /// Runs shell commands.
    pub(crate) fn sh(&mut self, text: &str) -> String {
        self.execute(&[run(&["sh", "-eu"], text)]).remove(0)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The instruction to run a program.
pub(crate) fn run(words: &[&str], input: &str) -> Instruction {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Instruction::RunCommand { words, input: input.to_owned() }
}
