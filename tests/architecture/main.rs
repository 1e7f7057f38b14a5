//! The house stands as `src/lib.rs` says: dependencies point down its list, the
//! pure half does no I/O, and nobody but the command line knows the sandbox.
//!
//! The list is read from the documentation itself, so that the two cannot part.
//! Sources are read as tokens, without comments, texts and test code.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use scan::{paths, tokens, without_tests};

/// What no module of the pure half may name: a crate or a path of `std`.
const IMPURE: [&str; 36] = [
    "anstream",
    "async_trait",
    "axum",
    "azure_core",
    "azure_identity",
    "futures",
    "getrandom",
    "hyper",
    "hyper_util",
    "indicatif",
    "kube",
    "rcgen",
    "reqwest",
    "russh",
    "rustls",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::path",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_rustls",
    "tower",
    "tracing_subscriber",
    "uuid",
];
/// Calls that read a clock, whatever the type's path; and words of async code.
const IMPURE_ENDS: [&str; 4] = ["Timestamp::now", "Zoned::now", "Instant::now", "SystemTime::now"];
const IMPURE_WORDS: [&str; 2] = ["async", "await"];
/// A source file has at most this many lines.
const LINES_PER_FILE: usize = 400;
/// Files that may be longer, each with its reason.
const LONG_FILES: [(&str, &str); 1] =
    [("tests/e2e/end_state.rs", "the invariants of the end state, one after another")];

/// Whether the path leads out of the pure half.
fn is_impure(path: &str) -> bool {
    let is = |what: &str| path == what || path.starts_with(&format!("{what}::"));
    let ends = |what: &str| path == what || path.ends_with(&format!("::{what}"));
    IMPURE.into_iter().any(is) || IMPURE_ENDS.into_iter().any(ends) || IMPURE_WORDS.contains(&path)
}

/// The parts from the top down, and which of them are pure: the table in
/// `src/lib.rs`, up to and below its dividing row.
fn house(library: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut order, mut pure, mut below) = (Vec::new(), BTreeSet::new(), false);
    for row in library.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        below |= row.contains("the pure half");
        let Some(name) = row.strip_prefix("[`").and_then(|row| row.split('`').next()) else {
            continue;
        };
        order.push(name.to_owned());
        if below {
            pure.insert(name.to_owned());
        }
    }
    (order, pure)
}

/// What is wrong with a file of a part of the house.
fn wrongs(
    source: &str,
    module: &[String],
    order: &[String],
    pure: &BTreeSet<String>,
) -> Vec<String> {
    let (kept, _) = without_tests(&tokens(source));
    let part = &module[0];
    let height = |name: &str| order.iter().position(|one| one == name);
    let mut wrongs = Vec::new();
    for path in paths(&kept, module) {
        if pure.contains(part) && is_impure(&path) {
            wrongs.push(format!("`{part}` is pure and names `{path}`"));
        }
        let Some(other) = path.strip_prefix("crate::").and_then(|it| it.split("::").next()) else {
            continue;
        };
        if height(other) < height(part) {
            wrongs.push(format!("`{part}` is below and uses `{path}`"));
        } else if other == "sandbox" && part != "sandbox" && part != "cli" {
            wrongs.push(format!("`{part}` knows the sandbox by `{path}`"));
        }
    }
    wrongs
}

fn sources(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
}

fn all_sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    sources(&root.join(folder), &mut found);
    let relative = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
    found.into_iter().map(|(path, text)| (relative(&path), text)).collect()
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are the module `a::b`.
fn module_of(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let mut words: Vec<String> =
        path.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.last().is_some_and(|last| last == "mod") {
        words.pop();
    }
    words
}

/// Files that hold nothing but test code, as their parents declare them.
fn test_modules(files: &BTreeMap<PathBuf, String>) -> BTreeSet<Vec<String>> {
    let of = |(path, text): (&PathBuf, &String)| {
        let parent = module_of(path);
        let (_, names) = without_tests(&tokens(text));
        names.into_iter().map(move |name| [parent.clone(), vec![name]].concat()).collect::<Vec<_>>()
    };
    files.iter().flat_map(of).collect()
}

#[test]
fn dependencies_point_down_the_house() {
    let files = all_sources("src");
    let (order, pure) = house(&files[Path::new("src/lib.rs")]);
    let tests = test_modules(&files);
    let mut found = Vec::new();
    for (path, text) in &files {
        let module = module_of(path);
        let is_root = matches!(module.first().map(String::as_str), Some("lib" | "main"));
        if is_root || tests.iter().any(|test| module.starts_with(test)) {
            continue;
        }
        assert!(order.contains(&module[0]), "the table in src/lib.rs lacks `{}`", module[0]);
        let wrongs = wrongs(text, &module, &order, &pure);
        found.extend(wrongs.into_iter().map(|wrong| format!("{}: {wrong}", path.display())));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    assert!(files.len() > 200 && pure.len() >= 5, "{} files, pure: {pure:?}", files.len());
}

#[test]
fn no_file_is_too_long() {
    let long = |(path, text): (PathBuf, String)| {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(file, _)| Path::new(file) == path);
        (lines > LINES_PER_FILE && !excused).then(|| format!("{}: {lines}", path.display()))
    };
    let found: Vec<String> =
        all_sources("src").into_iter().chain(all_sources("tests")).filter_map(long).collect();
    assert!(found.is_empty(), "more than {LINES_PER_FILE} lines:\n{}\n", found.join("\n"));
}

fn wrongs_of(part: &str, source: &str) -> Vec<String> {
    let order: Vec<String> =
        ["cli", "execute", "sandbox", "provider", "plan", "net"].map(str::to_owned).to_vec();
    let pure = BTreeSet::from(["plan".to_owned(), "net".to_owned()]);
    wrongs(source, &[part.to_owned(), "inner".to_owned()], &order, &pure)
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("plan", "use std::fs;"),
        ("plan", "use std::{collections::BTreeMap, net::{Ipv4Addr, TcpStream}};"),
        ("plan", "fn now() { let at = std::time::Instant::now(); }"),
        ("plan", "use jiff::Timestamp; fn now() -> Timestamp { Timestamp::now() }"),
        ("plan", "use std::env as surroundings;"),
        ("plan", "fn go() { ::tokio::spawn(1); }"),
        ("plan", "fn go() { tokio::select! {} }"),
        ("plan", "pub async fn go() {}"),
        ("plan", "use crate::provider::Doors;"),
        ("plan", "use super::super::provider;"),
        ("plan", "mod deep { use super::super::super::provider::Doors; }"),
        ("plan", "fn go(door: &crate::provider::Door) {}"),
        ("plan", "fn text() -> &'static str { r#\"\"\"#; b'\"'; crate::execute::text() }"),
        ("plan", "#[cfg(test)] mod tests { fn a() { '{'; } } use crate::execute::run;"),
        ("plan", "/* /* */ */ use crate::{net, cli::Ui};"),
        ("net", "pub use crate::plan::Plan as Other;"),
        ("execute", "use crate::sandbox::World;"),
        ("provider", "fn go<'a>(world: &'a crate::sandbox::World) {}"),
    ];
    for (part, source) in planted {
        assert_eq!(wrongs_of(part, source).len(), 1, "{part}: {source}");
    }
}

#[test]
fn what_is_allowed_is_left_alone() {
    let fine = [
        ("plan", "use std::net::Ipv4Addr; use std::time::Duration; use crate::net::prefix;"),
        ("plan", "// use std::fs;\n/// use crate::cli;\nconst A: &str = \"std::fs::read\";"),
        ("plan", "const A: &str = r##\"\"# crate::cli::Ui \"##; const B: char = '\"';"),
        ("plan", "#[cfg(test)] mod tests { use std::fs; use crate::sandbox::World; }"),
        ("plan", "#[cfg(test)] #[expect(unused, reason = \"a\")] fn go() { tokio::spawn(1); }"),
        ("plan", "fn go<'a>(it: impl Iterator<Item = &'a u8> + use<'a>) { it.tokio(); }"),
        ("plan", "use super::file::Plan; use self::file::Plan; fn go() { super::file::go() }"),
        ("provider", "use tokio::net::TcpStream; use crate::plan::Plan;"),
        ("sandbox", "use crate::provider::host::HostDoor; use crate::sandbox::state::World;"),
        ("cli", "use crate::sandbox::World; pub async fn go() { std::fs::read(1).await }"),
    ];
    for (part, source) in fine {
        assert_eq!(wrongs_of(part, source), [] as [String; 0], "{part}: {source}");
    }
}

#[test]
fn test_modules_with_files_are_known() {
    let (_, files) = without_tests(&tokens("#[cfg(test)]\nmod fake;\nmod real;"));
    assert_eq!(files, BTreeSet::from(["fake".to_owned()]));
}
