//! The source files of the package, read once per test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::without_tests;
use crate::tokens::{code, tokenize};

/// Source files by their path from the package's root.
pub(crate) type Sources = BTreeMap<PathBuf, String>;

/// Reads every file with one of these extensions below a folder of the package.
pub(crate) fn read_sources(folder: &str, extensions: &[&str]) -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    read_folder(&root.join(folder), extensions, &mut found);
    let relative = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
    found.into_iter().map(|(path, text)| (relative(&path), text)).collect()
}

/// Reads every Rust file below a folder of the package.
pub(crate) fn read_rust(folder: &str) -> Sources {
    read_sources(folder, &["rs"])
}

fn read_folder(folder: &Path, extensions: &[&str], found: &mut Sources) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        if path.is_dir() {
            read_folder(&path, extensions, found);
        } else if extensions.contains(&extension) {
            found.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// The module of a file: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`, and so are those below
/// `src/core`, whose modules the package shows as its own.
pub(crate) fn module_of(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let path = path.strip_prefix("core").unwrap_or(&path);
    let mut words: Vec<String> =
        path.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.last().is_some_and(|last| last == "mod") {
        words.pop();
    }
    words
}

/// Modules that hold only test code, as their parents declare them.
pub(crate) fn test_modules(files: &Sources) -> BTreeSet<Vec<String>> {
    let declared = |(path, text): (&PathBuf, &String)| {
        let parent = module_of(path);
        let (_, names) = without_tests(&code(&tokenize(text)));
        names.into_iter().map(move |name| [parent.clone(), vec![name]].concat()).collect::<Vec<_>>()
    };
    files.iter().flat_map(declared).collect()
}

/// The files of `src` that are compiled into the program.
pub(crate) fn production_sources() -> Sources {
    let files = read_rust("src");
    let tests = test_modules(&files);
    let is_test = |path: &Path| {
        let module = module_of(path);
        tests.iter().any(|test| module.starts_with(test))
    };
    files.into_iter().filter(|(path, _)| !is_test(path)).collect()
}
