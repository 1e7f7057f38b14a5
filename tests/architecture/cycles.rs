//! Checks that imports between files have no long cycles.
//!
//! An edge leads from a file to the file that defines a name it uses: names are followed
//! through the re-exports of `mod.rs` files, which by themselves are no dependency. Two
//! files may import each other (a module and its part). A cycle of three files or more is
//! refused: these files could only be understood together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::imports::{paths, without_tests};
use crate::sources::{Sources, module_of, production_sources};
use crate::tokens::{code, tokenize};

/// Re-exports that lead to re-exports are followed this far.
const MAX_REEXPORTS: usize = 8;

/// The modules that are files, what each re-exports, and what each imports.
#[derive(Default)]
struct ImportGraph {
    /// Name to absolute path, of each module's `pub use`.
    reexports: BTreeMap<String, BTreeMap<String, String>>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl ImportGraph {
    fn of(files: &Sources) -> Self {
        let mut graph = Self::default();
        let mut named = BTreeMap::new();
        let modules: BTreeSet<String> = files.keys().map(|it| absolute(&module_of(it))).collect();
        for (path, text) in files {
            let module = module_of(path);
            let paths = |tokens: &[String]| -> BTreeSet<String> {
                let found = paths(tokens, &module).into_iter();
                found.map(|path| from_root(path, &module, &modules)).collect()
            };
            let (kept, _) = without_tests(&code(&tokenize(text)));
            let (exported, rest) = split_reexports(&kept);
            let name = absolute(&module);
            let last = |path: &str| Some(path.rsplit("::").next()?.to_owned());
            let by_name = paths(&exported).into_iter().filter_map(|it| Some((last(&it)?, it)));
            graph.reexports.insert(name.clone(), by_name.collect());
            named.insert(name, paths(&rest));
        }
        for (name, paths) in named {
            let targets = paths.iter().filter_map(|path| graph.file_of(path));
            let targets = targets.filter(|target| *target != name).collect();
            graph.imports.insert(name, targets);
        }
        graph
    }

    /// The module file that defines the target of an absolute path.
    fn file_of(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..MAX_REEXPORTS {
            let mut module = path.as_str();
            while !self.reexports.contains_key(module) {
                module = module.rsplit_once("::")?.0;
            }
            let rest = path.strip_prefix(module)?.trim_start_matches("::");
            let name = rest.split("::").next().unwrap_or_default();
            match self.reexports[module].get(name) {
                Some(target) if target.starts_with("crate::") => path.clone_from(target),
                _ => return Some(module.to_owned()),
            }
        }
        None
    }

    /// The shortest way from one file to another that is not the direct import.
    fn detour(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = VecDeque::from([from]);
        while let Some(next) = open.pop_front() {
            for target in self.imports.get(next).into_iter().flatten() {
                let is_direct = next == from && target == to;
                if is_direct || target == from || before.contains_key(target.as_str()) {
                    continue;
                }
                before.insert(target, next);
                if target == to {
                    return Some(path_to(to, from, &before));
                }
                open.push_back(target);
            }
        }
        None
    }

    /// Circles of imports through three files or more: one for each import that is
    /// part of such a circle, without repetitions.
    fn cycles(&self) -> BTreeSet<Vec<String>> {
        let edges =
            self.imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
        let circles = edges.filter_map(|(from, to)| self.detour(to, from));
        circles.map(canonical).collect()
    }
}

fn path_to(end: &str, start: &str, before: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut path = vec![end.to_owned()];
    let mut at = end;
    while at != start {
        at = before[at];
        path.push(at.to_owned());
    }
    path.reverse();
    path
}

/// The circle from its first name in alphabetical order on.
fn canonical(mut circle: Vec<String>) -> Vec<String> {
    let first = (0..circle.len()).min_by_key(|at| &circle[*at]).unwrap_or_default();
    circle.rotate_left(first);
    circle
}

fn absolute(module: &[String]) -> String {
    std::iter::once("crate").chain(module.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

/// A path that begins with a module's own part, from the crate's root.
fn from_root(path: String, module: &[String], modules: &BTreeSet<String>) -> String {
    let first = path.split("::").next().unwrap_or_default();
    let is_part = modules.contains(&format!("{}::{first}", absolute(module)));
    if is_part { format!("{}::{path}", absolute(module)) } else { path }
}

/// Separates `pub use …;` items from the rest of a file's tokens.
fn split_reexports(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut exported, mut rest) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let length = reexport_length(&tokens[at..]);
        let (kept, skipped) = if length > 0 { (&mut exported, length) } else { (&mut rest, 1) };
        kept.extend_from_slice(&tokens[at..at + skipped]);
        at += skipped;
    }
    (exported, rest)
}

/// The length of the `pub use` or `pub(…) use` item at the beginning, or 0.
fn reexport_length(tokens: &[String]) -> usize {
    if tokens[0] != "pub" {
        return 0;
    }
    let closes = tokens.iter().position(|token| token == ")").unwrap_or_default();
    let keyword = if tokens.get(1).is_some_and(|it| it == "(") { closes + 1 } else { 1 };
    if tokens.get(keyword).is_none_or(|token| token != "use") {
        return 0;
    }
    tokens.iter().position(|token| token == ";").map_or(0, |end| end + 1)
}

#[test]
fn import_cycles_are_short() {
    let files = production_sources();
    let graph = ImportGraph::of(&files);
    let edges: usize = graph.imports.values().map(BTreeSet::len).sum();
    let cycles = graph.cycles();
    println!("{} files, {edges} imports", files.len());
    let list = |cycle: &Vec<String>| cycle.join(" -> ").replace("crate::", "");
    let found: Vec<String> = cycles.iter().map(list).collect();
    assert!(found.is_empty(), "circles of three files or more:\n{}\n", found.join("\n"));
    assert!(edges > 500, "{edges} imports found");
}

#[test]
fn a_planted_cycle_is_found() {
    let planted = [
        ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub(crate) use c::{C, D};"),
        ("src/a/b.rs", "use super::C; pub struct B;"),
        ("src/a/c.rs", "pub struct C; pub struct D; fn go() { crate::e::go() }"),
        ("src/e.rs", "use crate::a::B; pub fn go() {}"),
        ("src/f.rs", "use crate::a::{B, C}; #[cfg(test)] mod tests { use crate::e::go; }"),
    ];
    let files = planted.map(|(path, text)| (path.into(), text.to_owned())).into();
    let graph = ImportGraph::of(&files);
    let expected = ["crate::a::b", "crate::a::c", "crate::e"].map(str::to_owned).to_vec();
    assert_eq!(graph.cycles(), BTreeSet::from([expected]));
}
