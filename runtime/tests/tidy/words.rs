//! Words that have no place: in code, in any text, and at the root.

use crate::source::{Source, Text};

/// Everything that may lie at the root; names that begin with a dot may too.
const TOP_LEVEL: [&str; 17] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "runtime",
    "gpu",
    "rl",
    "transport",
    "examples",
    "benches",
    "docs",
    "target",
];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
const PRINTS: [&str; 4] = ["println", "print", "eprintln", "eprint"];
/// Paths and hosts of the machine where something was written, in pieces, so that this file may lie in the tree.
const FOREIGN: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tmp/", "target"), concat!("crates.io", "/api"), concat!("pypi.org", "/simple")];

/// STYLE, goal 1: what is not finished is not in the tree.
pub fn unfinished(source: &Source) -> Vec<String> {
    let found = UNFINISHED.iter().flat_map(|name| source.find(&[name, "!"]).into_iter().map(move |line| (name, line)));
    let message = |name| format!("`{name}!`: finish it, or leave it out and write down that it is absent (STYLE 12)");
    found.map(|(name, line)| source.at(line, &message(name))).collect()
}

/// STYLE 23: a test that is not run is no test. Miri may skip what it can't run.
pub fn ignored_tests(source: &Source) -> Vec<String> {
    let is_ignored = |words: &[&str]| match words.first() {
        Some(&"ignore") => true,
        Some(&"cfg_attr") => words.contains(&"ignore") && !words.contains(&"miri"),
        _ => false,
    };
    let found = source.attributes().filter(|(_, words)| is_ignored(words));
    let message =
        "`#[ignore]`: a test that never runs proves nothing; mend it, make it a benchmark, or delete it (STYLE 23)";
    found.map(|(line, _)| source.at(line, message)).collect()
}

/// STYLE 20: libraries log with tracing; only commands, examples and benchmarks print.
pub fn prints(source: &Source) -> Vec<String> {
    let is_command = source.path.contains("/src/bin/") || source.path.ends_with("/src/main.rs");
    let is_library = source.path.contains("/src/") && !source.is_in("examples/") && !source.is_in("benches/");
    if is_command || !is_library {
        return vec![];
    }
    let found = PRINTS.iter().flat_map(|name| source.find(&[name, "!"])).filter(|&line| !source.is_test(line));
    let message = "a library prints: log with tracing, or return what is to be printed (STYLE 20)";
    found.map(|line| source.at(line, message)).collect()
}

/// DESIGN §3: the root holds what its table names.
pub fn strays_at_root(top_level: &[String]) -> Vec<String> {
    let is_stray = |name: &&String| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str());
    let strays = top_level.iter().filter(is_stray);
    strays
        .map(|name| format!("{name}:1: not in the list of what lies at the root: move it into a folder (DESIGN §3)"))
        .collect()
}

/// No text names the machine that it was written on, or how that machine gets its packages.
pub fn foreign_names(text: &Text) -> Vec<String> {
    let lines = text.text.lines().enumerate();
    let named = lines.filter_map(|(at, line)| Some((at + 1, FOREIGN.iter().find(|name| names(line, name))?)));
    named
        .map(|(line, name)| {
            let path = &text.path;
            format!("{path}:{line}: names `{name}`, of one machine alone: write a relative path, or leave it out (DESIGN §3)")
        })
        .collect()
}

/// Whether the name is there, not as the rest of a longer path or word.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(text: &str) -> Source {
        Source::new("rl/src/a.rs", text)
    }

    #[test]
    fn unfinished_code_is_caught() {
        let caught = unfinished(&library("fn f() {\n    todo!()\n}\nfn g() { h!(dbg!(1)); unimplemented!() }\n"));
        assert_eq!(caught.len(), 3);
        assert!(caught[0].starts_with("rl/src/a.rs:2: `todo!`"), "{caught:?}");
        assert_eq!(unfinished(&library("/// todo!()\nfn todo() { \"dbg!\"; todo() }\n")), [""; 0]);
    }

    #[test]
    fn an_ignored_test_is_caught() {
        assert_eq!(ignored_tests(&library("#[test]\n#[ignore = \"slow\"]\nfn f() {}")).len(), 1);
        assert_eq!(ignored_tests(&library("#[cfg_attr(not(unix), ignore)]\nfn f() {}")).len(), 1);
        assert_eq!(ignored_tests(&library("#[cfg_attr(miri, ignore)]\nfn ignore() {}")), [""; 0]);
    }

    #[test]
    fn a_print_in_a_library_is_caught() {
        let text = "fn f() { println!(); eprintln!(); write!(a) }\n#[cfg(test)]\nmod tests { fn g() { print!() } }\n";
        assert_eq!(prints(&library(text)).len(), 2);
        for path in ["runtime/src/bin/rayline.rs", "runtime/sim/src/main.rs", "examples/a.rs", "benches/src/a.rs"] {
            assert_eq!(prints(&Source::new(path, text)), [""; 0]);
        }
    }

    #[test]
    fn a_stray_at_the_root_is_caught() {
        let root = |name: &str| strays_at_root(&["Cargo.toml".into(), ".gitignore".into(), name.into()]);
        assert_eq!(root("docs"), [""; 0]);
        assert!(root("notes.md")[0].starts_with("notes.md:1: "));
    }

    #[test]
    fn a_name_of_one_machine_is_caught() {
        let text = |text: String| Text { path: "docs/a.md".into(), text };
        for name in FOREIGN {
            assert!(foreign_names(&text(format!("a\nsee {name}b\n")))[0].starts_with("docs/a.md:2: "));
        }
        assert_eq!(foreign_names(&text(format!("src{}a.rs", FOREIGN[0]))), [""; 0]);
    }
}
