//! How long things may be.

use crate::source::Source;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 500;

/// STYLE 2: no function over 70 lines, from its signature to its last bracket, without comments.
pub fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let is_code = |line: &usize| !lines[line - 1].trim_start().starts_with("//");
    let sized = source.functions.iter().map(|function| (function, function.lines.clone().filter(is_code).count()));
    let long = sized.filter(|(_, size)| *size > FUNCTION_LINES_MAX);
    long.map(|(function, size)| {
        let name = &function.name;
        let message =
            format!("`{name}` has {size} lines, {FUNCTION_LINES_MAX} at most: give its steps names (STYLE 2)");
        source.at(*function.lines.start(), &message)
    })
    .collect()
}

/// STYLE 2: no file over 500 lines without its tests.
pub fn long_files(source: &Source) -> Vec<String> {
    let lines = source.lines_outside_tests();
    let message = format!(
        "{lines} lines without tests, {FILE_LINES_MAX} at most: one file, one main type; split it (STYLE 1, 2)"
    );
    if lines > FILE_LINES_MAX { vec![source.at(1, &message)] } else { vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(body: &str, lines: usize) -> Source {
        Source::new("rl/src/a.rs", &format!("/// Docs.\n#[inline]\nfn f() {{\n{}}}\n", body.repeat(lines)))
    }

    #[test]
    fn a_function_of_71_lines_is_caught_and_comments_are_free() {
        assert_eq!(long_functions(&function("    a();\n", 68)), [""; 0]);
        let caught = long_functions(&function("    a();\n", 69));
        assert!(caught[0].starts_with("rl/src/a.rs:3: `f` has 71 lines"), "{caught:?}");
        assert_eq!(long_functions(&function("    // why\n", 200)), [""; 0]);
    }

    #[test]
    fn methods_and_functions_in_tests_are_measured_too() {
        let body = "a();\n".repeat(70);
        let text = format!(
            "#[cfg(test)]\nmod tests {{\nimpl A {{ fn f() {{\n{body}}} }}\ntrait B {{ fn g() {{\n{body}}} }}\n}}\n"
        );
        assert_eq!(long_functions(&Source::new("rl/tests/a.rs", &text)).len(), 2);
    }

    #[test]
    fn a_file_of_501_lines_is_caught_and_tests_are_free() {
        let (code, tests) = ("const A: u8 = 0;\n".repeat(500), "#[cfg(test)]\nmod tests {\n\n\n}\n");
        assert_eq!(long_files(&Source::new("rl/src/a.rs", &format!("{code}{tests}"))), [""; 0]);
        let caught = long_files(&Source::new("rl/src/a.rs", &format!("{code}const B: u8 = 0;\n{tests}")));
        assert!(caught[0].starts_with("rl/src/a.rs:1: 501 lines"), "{caught:?}");
        assert_eq!(long_files(&Source::new("rl/tests/a.rs", &code.repeat(2))), [""; 0]);
    }
}
