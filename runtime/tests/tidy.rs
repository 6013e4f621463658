//! Holds the tree to what DESIGN §3 and STYLE say and a machine can check. One line a violation: `file:line: what is
//! wrong and what to do (rule)`.
//!
//! Each rule is a function from what it looks at to its violations, and has a test of its own beside it that it can
//! fail. A new rule is such a function, its test, and its line in `violations`.

#[path = "tidy/edges.rs"]
mod edges;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use std::path::Path;

use source::{Source, Text, Tree};

const SOURCE_RULES: &[fn(&Source) -> Vec<String>] = &[
    size::long_functions,
    size::long_files,
    purity::core_root,
    purity::core_std,
    purity::core_hash_maps,
    purity::stray_unsafe,
    words::unfinished,
    words::ignored_tests,
    words::prints,
];
const MANIFEST_RULES: &[fn(&Text) -> Vec<String>] = &[edges::stray_edges, edges::own_lints];

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tree = Tree::read(&root);
    assert!(tree.sources.len() > 10, "{} holds hardly any source: is it the workspace?", root.display());
    let found = violations(&tree);
    assert!(found.is_empty(), "{} violations\n{}", found.len(), found.join("\n"));
}

fn violations(tree: &Tree) -> Vec<String> {
    let is_manifest = |text: &&Text| text.path == "Cargo.toml" || text.path.ends_with("/Cargo.toml");
    let manifests = || tree.texts.iter().filter(is_manifest);
    let mut found = words::strays_at_root(&tree.top_level);
    found.extend(manifests().flat_map(|manifest| MANIFEST_RULES.iter().flat_map(move |rule| rule(manifest))));
    found.extend(tree.sources.iter().flat_map(|source| SOURCE_RULES.iter().flat_map(move |rule| rule(source))));
    found.extend(purity::exec_without_loom(&tree.sources));
    found.extend(tree.texts.iter().flat_map(words::foreign_names));
    found
}
