//! Who may depend on whom.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::source::Text;

/// What a package may name of the workspace.
struct Edges {
    package: &'static str,
    /// In `[dependencies]`, `[build-dependencies]` and the same by target.
    may: &'static [&'static str],
    /// In `[dev-dependencies]` besides: what only tests see. Cargo lets these go in a circle.
    tests_may: &'static [&'static str],
}

/// DESIGN §3. A new package gets its line here and there in one commit.
const EDGES: &[Edges] = &[
    Edges { package: "rayline-core", may: &[], tests_may: &["rayline-sim"] },
    Edges { package: "rayline-store", may: &[], tests_may: &[] },
    Edges { package: "rayline-exec", may: &[], tests_may: &[] },
    Edges { package: "rayline-transport", may: &[], tests_may: &[] },
    Edges { package: "rayline-gpu", may: &[], tests_may: &["rayline-fake-cuda"] },
    Edges { package: "rayline-fake-cuda", may: &[], tests_may: &[] },
    Edges { package: "rayline-macros", may: &[], tests_may: &["rayline"] },
    Edges { package: "rayline-sim", may: &["rayline-core"], tests_may: &[] },
    Edges {
        package: "rayline",
        may: &["rayline-core", "rayline-store", "rayline-exec", "rayline-transport", "rayline-gpu", "rayline-macros"],
        tests_may: &["rayline-sim"],
    },
    Edges { package: "rayline-rl", may: &["rayline", "rayline-gpu"], tests_may: &["rayline-fake-cuda"] },
    Edges { package: "rayline-examples", may: &["rayline", "rayline-rl", "rayline-gpu"], tests_may: &[] },
    Edges { package: "rayline-env-template", may: &["rayline-rl"], tests_may: &[] },
    Edges {
        package: "rayline-benches",
        may: &["rayline", "rayline-rl", "rayline-gpu", "rayline-sim", "rayline-store", "rayline-transport"],
        tests_may: &[],
    },
];

/// DESIGN §3: a package names those of the workspace that `EDGES` lets it name.
pub fn stray_edges(manifest: &Text) -> Vec<String> {
    let table = parse(manifest);
    let Some(package) = package(&table).filter(|_| !is_fuzz(manifest)) else { return vec![] };
    let Some(edges) = EDGES.iter().find(|edges| edges.package == package) else {
        let message =
            format!("package `{package}` has no place: give it one in DESIGN §3 and in runtime/tests/tidy/edges.rs");
        return vec![at(manifest, 0, &message)];
    };
    let stray = dependencies(&table).into_iter().filter(|dependency| !edges.allow(dependency));
    stray.map(|dependency| at(manifest, dependency.offset, &edges.message(&dependency))).collect()
}

/// STYLE: lints are the workspace's, the same for every package.
pub fn own_lints(manifest: &Text) -> Vec<String> {
    let table = parse(manifest);
    let is_shared = table.get("lints").and_then(|lints| lints.get_ref().get("workspace")?.get_ref().as_bool());
    if package(&table).is_none() || is_fuzz(manifest) || is_shared == Some(true) {
        return vec![];
    }
    vec![at(manifest, 0, "write `[lints]` with `workspace = true`: lints are the workspace's (STYLE, before 1)")]
}

/// One line of a table of dependencies.
struct Dependency {
    package: String,
    is_dev: bool,
    /// In bytes, from the start of the manifest.
    offset: usize,
}

impl Edges {
    fn allow(&self, dependency: &Dependency) -> bool {
        let name = dependency.package.as_str();
        let is_ours = name == "rayline" || name.starts_with("rayline-");
        !is_ours || self.may.contains(&name) || dependency.is_dev && self.tests_may.contains(&name)
    }

    fn message(&self, dependency: &Dependency) -> String {
        let (name, package) = (&dependency.package, self.package);
        let may = if self.may.is_empty() { "nothing of the workspace".into() } else { self.may.join(", ") };
        format!("`{package}` may not depend on `{name}`, but on {may}: move what is shared (DESIGN §3)")
    }
}

fn dependencies(table: &DeTable) -> Vec<Dependency> {
    let mut found = vec![];
    push_dependencies(table, &mut found);
    let targets = table.get("target").and_then(|targets| targets.get_ref().as_table());
    for target in targets.into_iter().flat_map(|targets| targets.values()) {
        if let Some(target) = target.get_ref().as_table() {
            push_dependencies(target, &mut found);
        }
    }
    found
}

fn push_dependencies(table: &DeTable, found: &mut Vec<Dependency>) {
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let lines = table.get(section).and_then(|lines| lines.get_ref().as_table());
        found.extend(lines.into_iter().flatten().map(|(name, value)| Dependency {
            package: renamed(value).unwrap_or(name.get_ref()).into(),
            is_dev: section == "dev-dependencies",
            offset: name.span().start,
        }));
    }
}

fn renamed<'a>(value: &'a Spanned<DeValue>) -> Option<&'a str> {
    value.get_ref().get("package")?.get_ref().as_str()
}

fn package<'a>(table: &'a DeTable) -> Option<&'a str> {
    table.get("package")?.get_ref().get("name")?.get_ref().as_str()
}

fn is_fuzz(manifest: &Text) -> bool {
    manifest.path.contains("fuzz/")
}

fn parse(manifest: &Text) -> DeTable<'_> {
    DeTable::parse(&manifest.text).unwrap_or_else(|e| panic!("{}: {e}", manifest.path)).into_inner()
}

fn at(manifest: &Text, offset: usize, message: &str) -> String {
    let line = 1 + manifest.text[..offset].matches('\n').count();
    format!("{}:{line}: {message}", manifest.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, rest: &str) -> Text {
        Text { path: "x/Cargo.toml".into(), text: format!("[package]\nname = \"{package}\"\n{rest}") }
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_caught() {
        let stray = |package, rest| stray_edges(&manifest(package, rest));
        assert_eq!(stray("rayline", "[dependencies]\nrayline-core.workspace = true\nserde = \"1\"\n"), [""; 0]);
        let caught = stray("rayline-core", "[dependencies]\nserde = \"1\"\nrayline-store.workspace = true\n");
        assert!(
            caught[0].starts_with("x/Cargo.toml:5: `rayline-core` may not depend on `rayline-store`"),
            "{caught:?}"
        );
        assert_eq!(stray("rayline-rl", "[build-dependencies]\nrayline-core = { path = \"c\" }\n").len(), 1);
        assert_eq!(stray("rayline-rl", "[target.'cfg(unix)'.dependencies.rayline-core]\npath = \"c\"\n").len(), 1);
    }

    #[test]
    fn a_new_name_hides_no_edge() {
        let text = "[dependencies]\nfast = { package = \"rayline-exec\", path = \"e\" }\n";
        assert_eq!(stray_edges(&manifest("rayline-rl", text)).len(), 1);
    }

    #[test]
    fn tests_may_name_a_little_more() {
        let text = "[dev-dependencies]\nrayline-sim = { path = \"s\" }\n";
        assert_eq!(stray_edges(&manifest("rayline", text)), [""; 0]);
        assert_eq!(stray_edges(&manifest("rayline-rl", text)).len(), 1);
        assert_eq!(stray_edges(&manifest("rayline", &text.replace("dev-", ""))).len(), 1);
    }

    #[test]
    fn a_package_without_a_place_is_caught() {
        assert_eq!(stray_edges(&manifest("rayline-utils", "")).len(), 1);
        assert_eq!(stray_edges(&Text { path: "Cargo.toml".into(), text: "[workspace]\n".into() }), [""; 0]);
    }

    #[test]
    fn lints_of_a_packages_own_are_caught() {
        assert_eq!(own_lints(&manifest("rayline", "[lints]\nworkspace = true\n")), [""; 0]);
        assert_eq!(own_lints(&manifest("rayline", "")).len(), 1);
        assert_eq!(own_lints(&manifest("rayline", "[lints.rust]\nunsafe_code = \"allow\"\n")).len(), 1);
    }
}
