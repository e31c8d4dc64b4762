//! Every path in the sources, resolved as the compiler would: through `use`, renames, groups, `super`, globs and
//! re-exports, and inside macros.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ExprMethodCall, ItemExternCrate, ItemMod, ItemUse, Macro, MetaList, UseTree, VisRestricted, Visibility,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// The crate's name in its binary and its tests.
const CRATE: &str = "chancery";
/// The most imports and re-exports to follow in a chain: real chains are short, and circles have no end.
const HOPS: usize = 8;

/// A module of the crate: `["protocol", "session"]`; the root is empty.
pub(crate) type ModulePath = Vec<String>;

/// A path in the sources.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The module of `src/lib.rs` that names the path, or `main`.
    pub(crate) layer: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// The path at each hop of its resolution, as in `tokio::time::sleep` or `crate::protocol::Session`.
    pub(crate) paths: Vec<String>,
    /// Inside `#[cfg(test)]`.
    pub(crate) in_tests: bool,
    /// In a `pub use`.
    pub(crate) reexported: bool,
}

/// The sources, found by their `mod` declarations.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) files: BTreeSet<PathBuf>,
    /// The modules that `src/lib.rs` declares.
    pub(crate) top: Vec<String>,
    /// The file of each module that has one.
    modules: BTreeMap<ModulePath, PathBuf>,
    mentions: Vec<Mention>,
    scopes: BTreeMap<ModulePath, Scope>,
}

/// A path as written in the source.
#[derive(Debug)]
struct Mention {
    module: ModulePath,
    segments: Vec<String>,
    /// Written with leading `::`.
    external: bool,
    layer: String,
    file: PathBuf,
    line: usize,
    in_tests: bool,
    reexported: bool,
}

/// The meanings of names in a module.
#[derive(Debug, Default)]
struct Scope {
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    children: BTreeSet<String>,
}

/// Walks one file.
struct Walk<'a> {
    sources: &'a mut Sources,
    file: &'a Path,
    layer: &'a str,
    module: ModulePath,
    in_tests: bool,
    /// Inside a `pub use`.
    reexported: bool,
    /// Modules declared here that have their own files.
    declared: Vec<(ModulePath, bool)>,
}

// === impl Sources ===

impl Sources {
    /// Reads `src/lib.rs`, `src/main.rs` and every module they declare.
    pub(crate) fn read(src: &Path) -> Self {
        let mut sources = Self::default();
        let (lib, main) = (src.join("lib.rs"), src.join("main.rs"));
        let mut todo = sources.add(&fs::read_to_string(&lib).unwrap(), &lib, vec![], false);
        sources.top = todo.iter().map(|(module, _)| module[0].clone()).collect();
        todo.extend(sources.add(
            &fs::read_to_string(&main).unwrap(),
            &main,
            vec!["main".to_owned()],
            false,
        ));
        while let Some((module, in_tests)) = todo.pop() {
            let file = src.join(module.join("/")).with_extension("rs");
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            todo.extend(sources.add(&text, &file, module, in_tests));
        }
        sources
    }

    /// Adds one file's text as a module. Returns the declared modules that have their own files.
    pub(crate) fn add(
        &mut self,
        text: &str,
        file: &Path,
        module: ModulePath,
        in_tests: bool,
    ) -> Vec<(ModulePath, bool)> {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.files.insert(file.to_owned());
        self.modules.insert(module.clone(), file.to_owned());
        let layer = module.first().cloned().unwrap_or_default();
        let mut walk = Walk {
            sources: self,
            file,
            layer: &layer,
            module,
            in_tests,
            reexported: false,
            declared: Vec::new(),
        };
        walk.visit_file(&parsed);
        walk.declared
    }

    /// Every path, resolved.
    pub(crate) fn named(&self) -> impl Iterator<Item = Named> {
        self.mentions.iter().map(|mention| Named {
            layer: mention.layer.clone(),
            file: mention.file.clone(),
            line: mention.line,
            paths: self.resolve(mention),
            in_tests: mention.in_tests,
            reexported: mention.reexported,
        })
    }

    /// The file of the module that contains a resolved path of the crate.
    pub(crate) fn file_of(&self, path: &str) -> Option<&Path> {
        let segments: Vec<String> = path.split("::").map(str::to_owned).collect();
        let (_, inner) = segments.split_first().filter(|(first, _)| *first == "crate")?;
        let modules = (1..=inner.len()).rev().map(|len| &inner[..len]);
        let files = modules.filter_map(|module| self.modules.get(module));
        files.map(PathBuf::as_path).next()
    }

    fn resolve(&self, mention: &Mention) -> Vec<String> {
        let mut path = if mention.external {
            mention.segments.clone()
        } else {
            self.absolute(&mention.module, &mention.segments, HOPS)
        };
        let mut seen = vec![path.join("::")];
        for _ in 0..HOPS {
            let Some(next) = self.through_reexport(&path).filter(|next| *next != path) else {
                break;
            };
            path = next;
            seen.push(path.join("::"));
        }
        seen
    }

    /// The path from the root of a crate: `crate::…` or `name_of_crate::…`.
    fn absolute(&self, module: &[String], segments: &[String], hops: usize) -> Vec<String> {
        let of_crate = |rest: &[String], module: &[String]| {
            let mut path = vec!["crate".to_owned()];
            path.extend(module.iter().chain(rest).cloned());
            path
        };
        let (first, rest) = segments.split_first().expect("a path has a segment");
        match first.as_str() {
            "crate" | CRATE => of_crate(rest, &[]),
            "self" => of_crate(rest, module),
            "super" => {
                let mut module = module.to_vec();
                module.pop();
                let ups = rest.iter().take_while(|segment| *segment == "super").count();
                module.truncate(module.len().saturating_sub(ups));
                of_crate(&rest[ups..], &module)
            }
            name => match self.look_up(module, name, hops) {
                Some(mut path) => {
                    path.extend(rest.iter().cloned());
                    path
                }
                None => segments.to_vec(),
            },
        }
    }

    /// The meaning of a first segment in this module: an alias, a child module, or a name from a glob import.
    fn look_up(&self, module: &[String], name: &str, hops: usize) -> Option<Vec<String>> {
        let scope = self.scopes.get(module)?;
        if let Some(target) = scope.aliases.get(name) {
            // `use tokio;` and `use http::http;` name themselves.
            let itself = target.first().is_some_and(|first| first == name);
            return Some(if itself || hops == 0 {
                target.clone()
            } else {
                self.absolute(module, target, hops - 1)
            });
        }
        if scope.children.contains(name) {
            let mut path = vec!["crate".to_owned()];
            path.extend(module.iter().cloned());
            path.push(name.to_owned());
            return Some(path);
        }
        let globs = scope.globs.iter().filter(|_| hops > 0);
        globs
            .filter_map(|glob| match self.absolute(module, glob, hops - 1).split_first() {
                Some((first, inner)) if first == "crate" => self.look_up(inner, name, hops - 1),
                _ => None,
            })
            .next()
    }

    /// Resolves `crate::a::Name…` to `target…` if `a` has `use target as Name`.
    fn through_reexport(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        if first != "crate" {
            return None;
        }
        let at = (0..rest.len())
            .rev()
            .find(|at| self.scopes.contains_key(&rest[..*at]))?;
        let target = self.scopes[&rest[..at]].aliases.get(&rest[at])?;
        let mut path = self.absolute(&rest[..at], target, HOPS);
        path.extend(rest[at + 1..].iter().cloned());
        Some(path)
    }
}

// === impl Walk ===

impl Walk<'_> {
    fn scope(&mut self) -> &mut Scope {
        self.sources.scopes.entry(self.module.clone()).or_default()
    }

    fn mention(&mut self, segments: Vec<String>, external: bool, line: usize) {
        self.sources.mentions.push(Mention {
            module: self.module.clone(),
            segments,
            external,
            layer: self.layer.to_owned(),
            file: self.file.to_owned(),
            line,
            in_tests: self.in_tests,
            reexported: self.reexported,
        });
    }

    fn import(&mut self, tree: &UseTree, before: &[String], external: bool) {
        let with = |name: &dyn ToString| {
            let mut path = before.to_vec();
            let name = name.to_string();
            // `use a::{self}` is `use a`.
            if name != "self" || path.is_empty() {
                path.push(name);
            }
            path
        };
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), external),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before, external)),
            UseTree::Glob(_) => {
                self.scope().globs.push(before.to_vec());
                self.mention(before.to_vec(), external, line);
            }
            UseTree::Name(name) => {
                let path = with(&name.ident);
                let alias = path.last().expect("a use has a name").clone();
                self.alias(alias, path, external, line);
            }
            UseTree::Rename(rename) => self.alias(rename.rename.to_string(), with(&rename.ident), external, line),
        }
    }

    fn alias(&mut self, alias: String, path: Vec<String>, external: bool, line: usize) {
        self.scope().aliases.insert(alias, path.clone());
        self.mention(path, external, line);
    }

    /// Finds paths in the tokens of a macro, which is not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons, mut leading, mut dot) = (0, 0, false, false);
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.end_of_path(&mut path, leading, line);
                        (line, leading) = (ident.span().start().line, colons == 2);
                    }
                    if dot && ident == "elapsed" {
                        self.reads_clock(ident.span().start().line);
                    }
                    path.push(ident.to_string());
                    (colons, dot) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(punct) => {
                    self.end_of_path(&mut path, leading, line);
                    (colons, dot) = (0, punct.as_char() == '.');
                }
                TokenTree::Group(group) => {
                    self.end_of_path(&mut path, leading, line);
                    (colons, dot) = (0, false);
                    self.tokens(group.stream());
                }
                TokenTree::Literal(_) => {
                    self.end_of_path(&mut path, leading, line);
                    (colons, dot) = (0, false);
                }
            }
        }
        self.end_of_path(&mut path, leading, line);
    }

    fn end_of_path(&mut self, path: &mut Vec<String>, external: bool, line: usize) {
        let path = std::mem::take(path);
        // A single identifier may be a variable, a field or a keyword; its import was seen at the `use`.
        if path.len() > 1 {
            self.mention(path, external, line);
        }
    }

    /// `.elapsed()` reads the clock, whatever the receiver is.
    fn reads_clock(&mut self, line: usize) {
        let path = ["std", "time", "Instant", "elapsed"].map(str::to_owned);
        self.mention(path.to_vec(), true, line);
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.to_string();
        self.scope().children.insert(name.clone());
        let in_tests = self.in_tests || item.attrs.iter().any(is_cfg_test);
        let mut module = self.module.clone();
        module.push(name);
        if item.content.is_none() {
            self.declared.push((module, in_tests));
            return;
        }
        let outer = std::mem::replace(&mut self.module, module);
        let outside = std::mem::replace(&mut self.in_tests, in_tests);
        visit::visit_item_mod(self, item);
        (self.module, self.in_tests) = (outer, outside);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.reexported = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &[], item.leading_colon.is_some());
        self.reexported = false;
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let name = item.ident.to_string();
        let alias = item
            .rename
            .as_ref()
            .map_or_else(|| name.clone(), |(_, alias)| alias.to_string());
        self.alias(alias, vec![name], true, item.span().start().line);
    }

    /// `pub(super)` and `pub(in …)` restrict visibility, and import nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.mention(segments, path.leading_colon.is_some(), path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "elapsed" {
            self.reads_clock(call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.visit_path(&list.path);
        self.tokens(list.tokens.clone());
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let list = attribute.meta.require_list();
    attribute.path().is_ident("cfg") && list.is_ok_and(|list| list.tokens.to_string() == "test")
}
