//! What the macros say to mistakes that people make, and what they must accept.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

#[test]
fn all_that_is_allowed_compiles() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
