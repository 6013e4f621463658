//! A tree over parts whose shape depends on nothing but their number.

/// How many parts one join takes. A task has a fixed number of arguments, so this is part of its signature.
pub(super) const ARITY: usize = 4;

/// Joins `parts`, neighbours first, [`ARITY`] at a time, until one is left; `None` without any. A group of one is passed
/// on as it is.
pub(super) fn tree<T>(mut parts: Vec<T>, mut join: impl FnMut(Vec<T>) -> T) -> Option<T> {
    while parts.len() > 1 {
        let mut level = Vec::with_capacity(parts.len().div_ceil(ARITY));
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            let group: Vec<T> = std::iter::once(first).chain(rest.by_ref().take(ARITY - 1)).collect();
            level.push(if group.len() == 1 { single(group) } else { join(group) });
        }
        parts = level;
    }
    parts.pop()
}

fn single<T>(group: Vec<T>) -> T {
    group.into_iter().next().expect("a group has at least one part")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(parts: usize) -> String {
        let names = (0..parts).map(|part| part.to_string()).collect();
        tree(names, |group| format!("({})", group.join(" "))).unwrap_or_default()
    }

    #[test]
    fn neighbours_are_joined_in_order() {
        assert_eq!(shape(0), "");
        assert_eq!(shape(1), "0");
        assert_eq!(shape(3), "(0 1 2)");
        assert_eq!(shape(9), "((0 1 2 3) (4 5 6 7) 8)");
        assert_eq!(shape(18), "(((0 1 2 3) (4 5 6 7) (8 9 10 11) (12 13 14 15)) (16 17))");
    }
}
