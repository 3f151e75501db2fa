//! What a source file says about modules: which names it defines, which it imports, which paths it writes out.
//! Code for tests is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module by its path below the crate: the crate's root is empty.
pub(crate) type ModulePath = Vec<String>;

/// A module of a crate, and the file in which it stands.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) path: ModulePath,
    pub(crate) file: PathBuf,
    /// The items that it defines at its top level.
    pub(crate) defines: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two segments or more that its code writes out.
    pub(crate) paths: BTreeSet<Vec<String>>,
}

/// One name that a `use` brings in; `*` if it brings in all.
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
}

/// The modules of the crate whose sources are in `folder`.
pub(crate) fn modules(folder: &Path) -> Vec<Module> {
    let mut modules = vec![];
    let root = if folder.join("lib.rs").exists() { "lib.rs" } else { "main.rs" };
    read(&folder.join(root), folder, vec![], &mut modules);
    modules
}

/// Reads a file and the files of its child modules, which stand in `folder`.
fn read(file: &Path, folder: &Path, path: ModulePath, modules: &mut Vec<Module>) {
    let text = fs::read_to_string(file).expect("a source file can be read");
    let tokens = TokenStream::from_str(&text).expect("a source file is Rust");
    module(tokens, file, folder, path, modules);
}

/// Reads a module's tokens, and its child modules.
fn module(
    tokens: TokenStream,
    file: &Path,
    folder: &Path,
    path: ModulePath,
    modules: &mut Vec<Module>,
) {
    let mut module = Module { path, file: file.to_owned(), ..Module::default() };
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(&tokens[at..]) {
            at = after_item(&tokens, at + 2);
            continue;
        }
        let TokenTree::Ident(word) = token else {
            paths_of_group(token, &mut module.paths);
            at += 1;
            continue;
        };
        match (word.to_string().as_str(), tokens.get(at + 1), tokens.get(at + 2)) {
            ("mod", Some(TokenTree::Ident(name)), Some(next)) => {
                let mut path = module.path.clone();
                path.push(name.to_string());
                let below = folder.join(name.to_string());
                if let TokenTree::Group(body) = next {
                    self::module(body.stream(), file, &below, path, modules);
                } else {
                    let beside = folder.join(format!("{name}.rs"));
                    let file = if beside.exists() { beside } else { below.join("mod.rs") };
                    read(&file, &below, path, modules);
                }
                at += 3;
            }
            ("use", Some(next), _) if !is(next, '<') => {
                let end = tokens[at..].iter().position(|token| is(token, ';')).expect("a use ends");
                imports(&tokens[at + 1..at + end], &[], &mut module.imports);
                at += end + 1;
            }
            (
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static",
                Some(TokenTree::Ident(name)),
                _,
            ) => {
                module.defines.insert(name.to_string());
                at += 2;
            }
            _ => {
                let (path, length) = written_path(&tokens[at..]);
                if path.len() > 1 {
                    module.paths.insert(path);
                }
                at += length;
            }
        }
    }
    modules.push(module);
}

/// Whether here stands `#[cfg(test)]`, or a condition that only tests and their support fulfil.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return false };
    hash.as_char() == '#' && {
        let text: String = attribute.stream().to_string().split_whitespace().collect();
        text.starts_with("cfg(test)") || text.starts_with("cfg(any(test")
    }
}

/// Where the item that begins at `at` ends: behind its body or its semicolon.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is(token, ';') || is(token, ','),
    };
    tokens[at..].iter().position(is_end).map_or(tokens.len(), |length| at + length + 1)
}

/// Collects the names that a tree of `use` brings in.
fn imports(tokens: &[TokenTree], before: &[String], found: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut renamed = None;
    let mut words = tokens.iter();
    while let Some(token) = words.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                renamed = words.next().map(ToString::to_string);
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let inside: Vec<_> = group.stream().into_iter().collect();
                for branch in
                    inside.split(|token| is(token, ',')).filter(|branch| !branch.is_empty())
                {
                    imports(branch, &path, found);
                }
                return;
            }
            token if is(token, '*') => {
                found.push(Import { name: "*".to_owned(), path });
                return;
            }
            _ => {}
        }
    }
    if path.len() > before.len() && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = renamed.or_else(|| path.last().cloned()) {
        found.push(Import { name, path });
    }
}

/// Collects the paths in a group of tokens, at every depth.
fn paths_of_group(token: &TokenTree, found: &mut BTreeSet<Vec<String>>) {
    let TokenTree::Group(group) = token else { return };
    let tokens: Vec<_> = group.stream().into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(&tokens[at..]) {
            at = after_item(&tokens, at + 2);
            continue;
        }
        paths_of_group(token, found);
        let (path, length) = written_path(&tokens[at..]);
        if path.len() > 1 {
            found.insert(path);
        }
        at += length;
    }
}

/// The path that begins here, such as `super::name::Type`, and how many tokens it takes (at least one).
fn written_path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut path = vec![];
    let mut at = 0;
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        path.push(word.to_string());
        match tokens.get(at + 1..at + 4) {
            Some([first, second, TokenTree::Ident(_)]) if is(first, ':') && is(second, ':') => {
                at += 3;
            }
            _ => break,
        }
    }
    (path, at + 1)
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
