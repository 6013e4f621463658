//! Every task of the program, collected when it is linked.

use std::sync::LazyLock;

/// One task, by name.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: &'static str,
    /// Where its name is declared, to tell two tasks of one name apart.
    pub place: &'static str,
}

#[doc(hidden)]
#[linkme::distributed_slice]
#[allow(unsafe_code)]
pub static TASKS: [Entry];

/// The two places of each name that is declared twice.
static CLASHES: LazyLock<Vec<(Entry, Entry)>> = LazyLock::new(|| {
    let mut entries = TASKS.to_vec();
    entries.sort_by_key(|entry| entry.name);
    let clashes = entries.windows(2).filter(|pair| pair[0].name == pair[1].name && pair[0].place != pair[1].place);
    clashes.map(|pair| (pair[0], pair[1])).collect()
});

/// What is wrong with the program's tasks, in words; `None` where nothing is.
pub(crate) fn complaint() -> Option<String> {
    let (first, second) = CLASHES.first()?;
    Some(format!("two tasks are called {}: at {} and at {}; rename one", first.name, first.place, second.place))
}
