//! Runs the README: every `sh` and `console` block, in order, in a fresh folder.
//!
//! In a `console` block, lines that begin with `$ ` are commands and the lines below
//! are their output. A line `…` stands for any lines, `…` within a line for any text.
//! Durations and generated names are masked. Blocks that cannot be run have another
//! fence language, such as `bash`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use super::location::{EXAMPLE, PROGRAM, TestFolder};

const README: &str = include_str!("../../README.md");

/// Commands that exit with 2 because they find a difference or a dropped packet.
const MAY_EXIT_2: [&str; 3] = ["stargate drift", "stargate trace", "stargate check"];

/// A command of the README and the output that the README shows.
#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<&'static str>,
}

/// The contents of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<(usize, Vec<&'static str>)> {
    let (mut found, mut lines) = (Vec::new(), README.lines().enumerate());
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let content: Vec<_> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        if info == language {
            found.push((number, content));
        }
    }
    found
}

/// The steps of all blocks, in the order of the README.
fn steps() -> Vec<Step> {
    let commands = blocks("sh").into_iter().map(|(number, lines)| {
        let step = |line: &'static str| Step { command: line.to_owned(), output: Vec::new() };
        (number, lines.into_iter().map(step).collect::<Vec<_>>())
    });
    let sessions = blocks("console").into_iter().map(|(number, lines)| (number, session(&lines)));
    let mut all: Vec<_> = commands.chain(sessions).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().flat_map(|(_, steps)| steps).collect()
}

fn session(lines: &[&'static str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                steps.push(Step { command: command.to_owned(), output: Vec::new() });
            }
            (None, Some(step)) => step.output.push(line),
            (None, None) => assert!(line.is_empty(), "output without a command: {line}"),
        }
    }
    steps
}

/// A shell that keeps its working directory between commands.
struct Shell {
    root: TestFolder,
    directory: PathBuf,
    path: String,
}

impl Shell {
    /// A shell in a folder with the example, like a clone of the repository.
    fn new() -> Self {
        let root = TestFolder::empty();
        root.write("examples/aks-e2e/stargate.toml", EXAMPLE);
        let programs = Path::new(PROGRAM).parent().expect("a folder").display();
        let path = format!("{programs}:/usr/local/bin:/usr/bin:/bin");
        Self { directory: root.path(""), root, path }
    }

    /// Runs a command; returns the exit code and stdout with stderr.
    fn run(&mut self, command: &str) -> (i32, String) {
        let state = self.root.path(".directory");
        let script = format!("{command}\ncode=$?\npwd > '{}'\nexit $code", state.display());
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .current_dir(&self.directory)
            .env_clear()
            .env("HOME", self.root.path(""))
            .env("PATH", &self.path)
            .output()
            .expect("a shell");
        let directory = fs::read_to_string(state).expect("the working directory");
        self.directory = PathBuf::from(directory.trim_end());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code().expect("an exit code"), text)
    }
}

/// Masks durations and generated names.
fn mask(text: &str) -> Vec<String> {
    let varying =
        Regex::new(r"[0-9]+\.[0-9] s\b|-[0-9]{8}\b|\b100\.[0-9]+\.[0-9]+\.[0-9]+\b(?:[^/]|$)")
            .expect("a pattern");
    let masked = varying.replace_all(text, "#");
    masked.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Whether the lines match the pattern, in which `…` stands for anything.
fn matches(pattern: &[String], lines: &[String]) -> bool {
    match pattern.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && matches(rest, others)),
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((start, end)) => {
            line.len() >= start.len() + end.len() && line.starts_with(start) && line.ends_with(end)
        }
    }
}

#[test]
fn every_block_of_the_readme_runs_as_shown() {
    let mut shell = Shell::new();
    let steps = steps();
    assert!(steps.len() > 15, "{steps:#?}");
    for Step { command, output } in steps {
        // This test is a part of `cargo test`.
        if command == "cargo test" {
            continue;
        }
        let (code, text) = shell.run(&command.replace("cargo run -- ", "stargate "));
        let may_differ = MAY_EXIT_2.iter().any(|start| command.starts_with(start));
        assert!(code == 0 || (code == 2 && may_differ), "`{command}` exits with {code}:\n{text}");
        if !output.is_empty() {
            let (expected, actual) = (mask(&output.join("\n")), mask(&text));
            assert!(matches(&expected, &actual), "`{command}` prints:\n{text}");
        }
    }
}

#[test]
fn few_blocks_are_not_run() {
    let fences = README.lines().filter(|line| line.starts_with("```") && *line != "```");
    let others: Vec<_> = fences.filter(|line| !matches!(*line, "```sh" | "```console")).collect();
    assert!(others.len() <= 3, "{others:?}");
}

#[test]
fn patterns_match_lines() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    assert!(matches(&lines("a\n…\nd"), &lines("a\nb\nc\nd")));
    assert!(matches(&lines("a … c"), &lines("a b c")));
    for (pattern, text) in [("a\n…\nd", "a\nb"), ("a", "a\nb"), ("…\nb", "b\nc"), ("a… c", "a")]
    {
        assert!(!matches(&lines(pattern), &lines(text)), "{pattern}");
    }
    assert_eq!(mask("took (1.2 s) on aks-80619531-vm at 100.64.1.2"), ["took (#) on aks#-vm at #"]);
}
