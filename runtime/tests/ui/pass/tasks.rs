//! Tasks of many shapes, without a warning.
#![deny(warnings, missing_docs)]

use rayline::prelude::*;

/// Tasks in a module.
pub mod inner {
    use rayline::prelude::*;

    /// Without parameters.
    #[task]
    pub fn seven() -> i64 {
        7
    }
}

/// A result behind an alias.
#[task(cpu = 0.5, memory = "1 MiB", retries = 2, retry_on(panic, any))]
pub fn checked(x: i64) -> rayline::Result<i64> {
    Ok(x)
}

/// With a parameter that it changes.
#[task]
pub fn sorted(mut values: Vec<i64>) -> Vec<i64> {
    values.sort();
    values
}

/// A generic task.
#[task]
pub fn first<T: Data>(values: &Vec<T>) -> Option<T> {
    values.first().cloned()
}

rayline::instantiate!(first<u32>, first<String>);

/// A reference as a value.
#[task]
pub fn through(object: ObjectRef<i64>) -> i64 {
    object.get().unwrap_or(0)
}

/// Many parameters.
#[task]
#[allow(clippy::too_many_arguments)]
pub fn many(a: i64, b: i64, c: &i64, d: i64, e: i64, f: i64, g: i64, h: &i64, i: i64, j: i64) -> i64 {
    a + b + c + d + e + f + g + h + i + j
}

#[rayline::main]
async fn main() -> rayline::Result<()> {
    let seven = inner::seven::remote();
    assert_eq!((&seven).await?, 7);
    assert_eq!(checked::remote(&seven).await?, 7);
    assert_eq!(sorted::remote(vec![2, 1]).await?, [1, 2]);
    assert_eq!(first::remote(vec![3u32, 4]).await?, Some(3));
    assert_eq!(through::remote(seven.clone()).await?, 7);
    assert_eq!(many::remote(1, 1, 1, 1, 1, 1, 1, &seven, 1, 1).await?, 16);
    Ok(())
}
