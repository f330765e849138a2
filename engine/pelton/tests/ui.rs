//! The compiler's words for the usual mistakes: they say what is missing and what to write.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
