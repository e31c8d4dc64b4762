//! The imports between the files of a module, and the circles among them.
//!
//! A name counts as imported from the file that defines it, through all re-exports. A file does not import what it only
//! re-exports or declares (`pub use`, `mod`). Tests are excluded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::paths::{Named, Sources};

/// Each file with the files of the same module that it imports.
pub(crate) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The imports between the files of a module such as `src/protocol`, and of the modules in it. `named` are all paths in the
/// sources.
pub(crate) fn imports(sources: &Sources, named: &[Named], module: &str) -> Imports {
    let is_ours = |file: &Path| {
        let rest = file.to_str().and_then(|file| file.split_once(module));
        rest.is_some_and(|(_, rest)| rest.starts_with(['.', '/']))
    };
    let mut imports = Imports::new();
    for named in named.iter().filter(|named| !named.in_tests && !named.reexported) {
        let Some(defined) = named.paths.last().and_then(|path| sources.file_of(path)) else {
            continue;
        };
        if is_ours(&named.file) && is_ours(defined) && *defined != *named.file {
            imports
                .entry(named.file.clone())
                .or_default()
                .insert(defined.to_owned());
        }
    }
    imports
}

/// The circles, sorted: sets of files in which each file leads to every other one.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = imports
        .keys()
        .map(|file| (file.as_path(), reached_from(imports, file)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, reached) in &reach {
        if reached.contains(file) {
            let back = |other: &&&Path| reach.get(**other).is_some_and(|reached| reached.contains(file));
            circles.insert(reached.iter().filter(back).map(|file| file.to_path_buf()).collect());
        }
    }
    circles.into_iter().collect()
}

fn reached_from<'a>(imports: &'a Imports, file: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&Path> = imports[file].iter().map(PathBuf::as_path).collect();
    while let Some(next) = todo.pop() {
        if reached.insert(next) {
            todo.extend(imports.get(next).into_iter().flatten().map(PathBuf::as_path));
        }
    }
    reached
}
