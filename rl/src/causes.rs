//! Errors in one line.

use std::error::Error;

/// An error and what caused it, in one line, for those who only have its words: each cause that isn't told already.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::EnvError;

    #[test]
    fn causes_follow_once_each() {
        let error = EnvError::Failed { env: 3, source: "no power".into() };
        assert_eq!(with_causes(&error), "environment 3 failed: no power");
    }
}
