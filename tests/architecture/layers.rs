//! Dependencies point down the table in `src/lib.rs`, the pure half does no I/O,
//! and only the command line knows the sandbox.
//!
//! The table is read from the documentation itself, so that the two cannot differ.

use std::collections::BTreeSet;
use std::path::Path;

use crate::imports::{paths, without_tests};
use crate::sources::{module_of, production_sources, read_rust, read_sources};
use crate::tokens::{code, tokenize};

/// Crates and paths of `std` that no module of the pure half may name.
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
/// Calls that read a clock, whatever path names the type.
const CLOCK_CALLS: [&str; 4] = ["Timestamp::now", "Zoned::now", "Instant::now", "SystemTime::now"];
/// Keywords of async code.
const ASYNC_KEYWORDS: [&str; 2] = ["async", "await"];
/// Modules that the client layer must not know: it serves them.
const ABOVE_CLIENTS: [&str; 8] =
    ["topology", "desired", "connectivity", "dataplane", "plan", "pipeline", "apply", "cli"];

/// The modules of the table, from the top down.
struct Layers {
    order: Vec<String>,
    pure: BTreeSet<String>,
}

impl Layers {
    /// Reads the table in the documentation of `src/lib.rs`: modules below its
    /// dividing row are pure.
    fn read(library: &str) -> Self {
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
        Self { order, pure }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.order.iter().position(|one| one == name)
    }

    /// Lists the dependencies of a file that its module must not have.
    fn violations(&self, source: &str, module: &[String]) -> Vec<String> {
        let (kept, _) = without_tests(&code(&tokenize(source)));
        paths(&kept, module).iter().filter_map(|path| self.violation(&module[0], path)).collect()
    }

    fn violation(&self, layer: &str, path: &str) -> Option<String> {
        if self.pure.contains(layer) && is_impure(path) {
            return Some(format!("`{layer}` is pure and names `{path}`"));
        }
        let other = path.strip_prefix("crate::")?.split("::").next()?;
        if self.position(other) < self.position(layer) {
            return Some(format!("`{layer}` is below and uses `{path}`"));
        }
        if other == "sandbox" && layer != "sandbox" && layer != "cli" {
            return Some(format!("`{layer}` imports the sandbox by `{path}`"));
        }
        let serves = layer == "provider" && ABOVE_CLIENTS.contains(&other);
        serves.then(|| format!("`provider` serves any caller and uses `{path}`"))
    }
}

fn is_impure(path: &str) -> bool {
    let is = |what: &str| path == what || path.starts_with(&format!("{what}::"));
    let ends = |what: &str| path == what || path.ends_with(&format!("::{what}"));
    IMPURE.into_iter().any(is)
        || CLOCK_CALLS.into_iter().any(ends)
        || ASYNC_KEYWORDS.contains(&path)
}

#[test]
fn dependencies_point_down() {
    let library = read_rust("src")[Path::new("src/lib.rs")].clone();
    let layers = Layers::read(&library);
    let files = production_sources();
    let mut found = Vec::new();
    for (path, text) in &files {
        let module = module_of(path);
        if matches!(module.first().map(String::as_str), Some("lib" | "main")) {
            continue;
        }
        let is_listed = layers.order.contains(&module[0]);
        assert!(is_listed, "the table in src/lib.rs lacks `{}`", module[0]);
        let violations = layers.violations(text, &module);
        found.extend(violations.into_iter().map(|it| format!("{}: {it}", path.display())));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    assert!(files.len() > 200 && layers.pure.len() >= 8, "{} files read", files.len());
}

/// The pure half is a crate of its own, and depends on nothing that could reach out.
#[test]
fn the_pure_half_is_the_core_crate() {
    let library = read_rust("src")[Path::new("src/lib.rs")].clone();
    let core: BTreeSet<String> =
        read_rust("src/core").keys().map(|path| module_of(path)[0].clone()).collect();
    let mut pure = Layers::read(&library).pure;
    pure.insert("lib".to_owned());
    assert_eq!(core, pure);
    let manifest = read_sources("src/core", &["toml"])[Path::new("src/core/Cargo.toml")].clone();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let impure: Vec<_> =
        dependencies.keys().filter(|name| is_impure(&name.replace('-', "_"))).collect();
    assert!(impure.is_empty(), "stargate-core depends on {impure:?}");
    assert!(dependencies.len() > 5);
}

fn violations_in(layer: &str, source: &str) -> Vec<String> {
    let order = ["cli", "apply", "sandbox", "provider", "plan", "topology", "net"];
    let layers = Layers {
        order: order.map(str::to_owned).to_vec(),
        pure: ["plan", "topology", "net"].map(str::to_owned).into(),
    };
    layers.violations(source, &[layer.to_owned(), "inner".to_owned()])
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("plan", "use std::fs;"),
        ("plan", "use std::{collections::BTreeMap, net::{Ipv4Addr, TcpStream}};"),
        ("plan", "fn now() { let at = std::time::Instant::now(); }"),
        ("plan", "use jiff::Timestamp; fn now() -> Timestamp { Timestamp::now() }"),
        ("plan", "use std::env as surroundings;"),
        ("plan", "fn go() { ::tokio::spawn(1); }"),
        ("plan", "fn go() { tokio::select! {} }"),
        ("plan", "pub async fn go() {}"),
        ("plan", "use crate::provider::Clients;"),
        ("plan", "use super::super::provider;"),
        ("plan", "mod deep { use super::super::super::provider::Clients; }"),
        ("plan", "fn go(client: &crate::provider::Client) {}"),
        ("plan", "fn text() -> &'static str { r#\"\"\"#; b'\"'; crate::apply::text() }"),
        ("plan", "#[cfg(test)] mod tests { fn a() { '{'; } } use crate::apply::run;"),
        ("plan", "/* /* */ */ use crate::{net, cli::Ui};"),
        ("net", "pub use crate::plan::Plan as Other;"),
        ("apply", "use crate::sandbox::State;"),
        ("provider", "fn go<'a>(state: &'a crate::sandbox::State) {}"),
        ("provider", "use crate::topology::model::Topology;"),
    ];
    for (layer, source) in planted {
        assert_eq!(violations_in(layer, source).len(), 1, "{layer}: {source}");
    }
}

#[test]
fn allowed_dependencies_pass() {
    let allowed = [
        ("plan", "use std::net::Ipv4Addr; use std::time::Duration; use crate::net::prefix;"),
        ("plan", "// use std::fs;\n/// use crate::cli;\nconst A: &str = \"std::fs::read\";"),
        ("plan", "const A: &str = r##\"\"# crate::cli::Ui \"##; const B: char = '\"';"),
        ("plan", "#[cfg(test)] mod tests { use std::fs; use crate::sandbox::State; }"),
        ("plan", "#[cfg(test)] #[expect(unused, reason = \"a\")] fn go() { tokio::spawn(1); }"),
        ("plan", "fn go<'a>(it: impl Iterator<Item = &'a u8> + use<'a>) { it.tokio(); }"),
        ("plan", "use super::file::Plan; use self::file::Plan; fn go() { super::file::go() }"),
        ("provider", "use tokio::net::TcpStream; use crate::net::prefix;"),
        ("sandbox", "use crate::provider::host::HostClient; use crate::sandbox::state::State;"),
        ("cli", "use crate::sandbox::State; pub async fn go() { std::fs::read(1).await }"),
    ];
    for (layer, source) in allowed {
        assert_eq!(violations_in(layer, source), [] as [String; 0], "{layer}: {source}");
    }
}

#[test]
fn test_modules_with_files_are_recognised() {
    let (_, files) = without_tests(&code(&tokenize("#[cfg(test)]\nmod fake;\nmod real;")));
    assert_eq!(files, BTreeSet::from(["fake".to_owned()]));
}
