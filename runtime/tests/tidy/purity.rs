//! What a crate may not touch: clocks and hash maps in `core`, `unsafe` where it may not be, atomics outside loom.

use crate::source::Source;

/// The crates that may hold `unsafe`, and the one file besides that calls MuJoCo (decision 9).
const UNSAFE: [&str; 5] = ["runtime/store/", "runtime/exec/", "transport/", "gpu/", "rl/src/env/mujoco/ffi.rs"];
const CORE: &str = "runtime/core/src/";
const EXEC: &str = "runtime/exec/src/";

/// STYLE 19: `runtime/core` is `no_std`, and forbids `unsafe`.
pub fn core_root(source: &Source) -> Vec<String> {
    if source.path != format!("{CORE}lib.rs") {
        return vec![];
    }
    let attributes: Vec<String> = source.attributes().map(|(_, words)| words.concat()).collect();
    let wanted = [("no_std", "19"), ("forbid(unsafe_code)", "16")];
    let missing = wanted.iter().filter(|(wanted, _)| !attributes.iter().any(|found| found == wanted));
    missing.map(|(wanted, rule)| source.at(1, &format!("write `#![{wanted}]` at its head (STYLE {rule})"))).collect()
}

/// STYLE 19: `runtime/core` has no standard library, so no clock, socket, thread or lock.
pub fn core_std(source: &Source) -> Vec<String> {
    let message = "`std` in core: use `core` and `alloc`; time and seed come in with the event (STYLE 19)";
    core_words(source, |word| word == "std", message)
}

/// STYLE 19: the order of a hash map is no part of a decision.
pub fn core_hash_maps(source: &Source) -> Vec<String> {
    let message = "a hash map in core: take BTreeMap, or a slab by index; its order decides nothing (STYLE 19)";
    core_words(source, |word| matches!(word, "HashMap" | "HashSet" | "hash_map" | "hash_set" | "hashbrown"), message)
}

fn core_words(source: &Source, is_word: impl Fn(&str) -> bool, message: &str) -> Vec<String> {
    let found = source.tokens.iter().filter(|token| source.is_in(CORE) && is_word(&token.text));
    outside_tests(source, found.map(|token| token.line), message)
}

/// STYLE 16: `unsafe` only where it may be. The workspace lint is `deny`, since what `#[task]`
/// expands to allows it for its registry; so that nobody else does, the source is looked at.
pub fn stray_unsafe(source: &Source) -> Vec<String> {
    if UNSAFE.iter().any(|folder| source.is_in(folder)) {
        return vec![];
    }
    let makes_code = source.is_in("runtime/macros/");
    let message = format!("`unsafe` outside {}: put it behind a safe type there (STYLE 16)", UNSAFE.join(", "));
    let found = source.tokens.iter().filter(|token| token.text == "unsafe" && !(makes_code && token.is_quoted));
    found.map(|token| source.at(token.line, &message)).collect()
}

/// STYLE 17: each file of `runtime/exec` with atomics from `crate::sync` has a loom test, its own or one that names it
/// in a file whose path has a part that begins with `loom`. Those atomics mark the lock-free types; what lies above them
/// (cells, the pool, waits) has the standard library's, and isn't built under loom.
pub fn exec_without_loom(sources: &[Source]) -> Vec<String> {
    let is_loom = |source: &&Source| source.is_in("runtime/exec/") && source.path.contains("/loom");
    let models: Vec<&Source> = sources.iter().filter(is_loom).collect();
    let is_tested = |source: &Source| {
        let names_it = |model: &&Source| model.tokens.iter().any(|token| token.text == module(&source.path));
        models.iter().any(names_it) || has_loom_test(source)
    };
    let uses = |source: &&Source| source.is_in(EXEC) && !source.path.ends_with("/sync.rs") && !is_loom(source);
    let untested = sources.iter().filter(uses).filter_map(|source| Some((source, first_atomic(source)?)));
    let untested = untested.filter(|(source, _)| !is_tested(source));
    let message = "atomics without a loom test: name the module in runtime/exec/tests/loom*.rs, or write \
                   `#[cfg(all(test, loom))] mod tests` (STYLE 17)";
    untested.map(|(source, line)| source.at(line, message)).collect()
}

fn first_atomic(source: &Source) -> Option<usize> {
    if source.find(&["crate", "::", "sync"]).is_empty() {
        return None;
    }
    let atomics = source.tokens.iter().filter(|token| token.text.starts_with("Atomic"));
    atomics.map(|token| token.line).find(|&line| !source.is_test(line))
}

fn has_loom_test(source: &Source) -> bool {
    source
        .attributes()
        .any(|(_, words)| words.starts_with(&["cfg"]) && words.contains(&"loom") && words.contains(&"test"))
}

/// The name of the module that a file holds.
fn module(path: &str) -> &str {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.rsplit('/').next().unwrap_or(path)
}

fn outside_tests(source: &Source, lines: impl Iterator<Item = usize>, message: &str) -> Vec<String> {
    lines.filter(|&line| !source.is_test(line)).map(|line| source.at(line, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(text: &str) -> Source {
        Source::new("runtime/core/src/owner.rs", text)
    }

    #[test]
    fn a_core_without_its_attributes_is_caught() {
        let root = |text| core_root(&Source::new("runtime/core/src/lib.rs", text));
        assert_eq!(root("//! Docs.\n#![no_std]\n#![forbid(unsafe_code)]\n"), [""; 0]);
        assert_eq!(root("#![no_std]\n").len(), 1);
        assert_eq!(root("//! #![no_std]\n").len(), 2);
    }

    #[test]
    fn std_in_core_is_caught() {
        assert!(core_std(&core("\nuse std::time::Instant;\n"))[0].starts_with("runtime/core/src/owner.rs:2: "));
        assert_eq!(core_std(&core("/// std::time\nuse core::time::Duration;\nconst A: &str = \"std::\";\n")), [""; 0]);
        assert_eq!(core_std(&core("#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n")), [""; 0]);
        assert_eq!(core_std(&Source::new("runtime/src/a.rs", "use std::fs;")), [""; 0]);
    }

    #[test]
    fn a_hash_map_in_core_is_caught() {
        assert_eq!(core_hash_maps(&core("use hashbrown::HashMap;")).len(), 2);
        assert_eq!(core_hash_maps(&core("use alloc::collections::BTreeMap;")), [""; 0]);
    }

    #[test]
    fn stray_unsafe_is_caught_as_a_token_alone() {
        let text = "fn f() {\n    g!(unsafe { h() });\n}\n";
        assert!(stray_unsafe(&Source::new("rl/src/a.rs", text))[0].starts_with("rl/src/a.rs:2: "));
        assert_eq!(stray_unsafe(&Source::new("gpu/src/a.rs", text)), [""; 0]);
        assert_eq!(stray_unsafe(&Source::new("rl/src/env/mujoco/ffi.rs", text)), [""; 0]);
        assert_eq!(stray_unsafe(&Source::new("rl/src/env/mujoco/slot.rs", text)).len(), 1);
        let words = "/// unsafe\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\"; // unsafe\n";
        assert_eq!(stray_unsafe(&Source::new("rl/src/a.rs", &words.replace("#!", "#"))), [""; 0]);
    }

    #[test]
    fn macros_may_make_unsafe_code_but_not_run_it() {
        let text = "fn f() { quote! { fn g() { unsafe { #h } } }; unsafe { i() } }";
        assert_eq!(stray_unsafe(&Source::new("runtime/macros/src/a.rs", text)).len(), 1);
        assert_eq!(stray_unsafe(&Source::new("rl/src/a.rs", text)).len(), 2);
    }

    #[test]
    fn an_atomic_without_a_loom_test_is_caught() {
        let text = "use crate::sync::AtomicU8;\n";
        let source = || Source::new("runtime/exec/src/gate.rs", text);
        assert!(exec_without_loom(&[source()])[0].starts_with("runtime/exec/src/gate.rs:1: "));
        let model = |text| Source::new("runtime/exec/tests/loom_gate.rs", text);
        assert_eq!(exec_without_loom(&[source(), model("use rayline_exec::gate;")]), [""; 0]);
        assert_eq!(exec_without_loom(&[source(), model("// gate")]).len(), 1);
        let own = format!("{text}#[cfg(all(test, loom))]\nmod tests {{}}\n");
        assert_eq!(exec_without_loom(&[Source::new("runtime/exec/src/gate.rs", &own)]), [""; 0]);
    }
}
