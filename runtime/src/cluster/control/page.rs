//! Pages of lists.

use prost::Message;
use std::fmt::Display;
use tonic::Status;

/// Rows of a page where nobody says.
const ROWS: u32 = 100;
/// Rows of a page at most.
const ROWS_MAX: u32 = 1000;
/// A page ends with the row that makes it larger than this, in bytes: frames of gRPC have 4 MiB at most.
const BYTES_MAX: usize = 1 << 20;
/// Rows of demand that waits.
pub(crate) const WAITING_MAX: usize = 100;

/// Some rows of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// What to ask for next; empty at the end.
    pub next: String,
}

impl<R: Message> Page<R> {
    /// The first rows of a list, each with its key.
    pub fn of<K: Display>(mut rows: impl Iterator<Item = (K, R)>, rows_max: usize) -> Page<R> {
        let (mut page, mut last, mut bytes) = (Page { rows: Vec::new(), next: String::new() }, None, 0);
        while page.rows.len() < rows_max && bytes < BYTES_MAX {
            let Some((key, row)) = rows.next() else { return page };
            bytes += row.encoded_len();
            page.rows.push(row);
            last = Some(key);
        }
        if let Some(last) = last.filter(|_| rows.next().is_some()) {
            page.next = last.to_string();
        }
        page
    }
}

/// Rows that a page is to have.
pub(super) fn size(asked: u32) -> usize {
    let rows = if asked == 0 { ROWS } else { asked.min(ROWS_MAX) };
    usize::try_from(rows).expect("a thousand at most")
}

/// The key after which a page begins.
///
/// # Errors
/// `INVALID_ARGUMENT` for what was no page's token.
pub(super) fn after<K>(token: &str, parse: impl Fn(&str) -> Option<K>) -> Result<Option<K>, Status> {
    match token {
        "" => Ok(None),
        token => match parse(token) {
            Some(key) => Ok(Some(key)),
            None => Err(Status::invalid_argument("the page token is of no page of this list")),
        },
    }
}

/// The numbers in an id such as `a1.2`.
pub(super) fn id_numbers(id: &str, prefix: char) -> Option<(u32, u64)> {
    let (owner, seq) = id.strip_prefix(prefix)?.split_once('.')?;
    Some((owner.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_the_list_does() {
        let list = |n: u32| (0..n).map(|i| (format!("k{i}"), i * 10));
        assert_eq!(Page::of(list(5), 5), Page { rows: vec![0, 10, 20, 30, 40], next: String::new() });
        let page = Page::of(list(6), 5);
        assert_eq!((page.rows.len(), &*page.next), (5, "k4"));
        assert_eq!(Page::of(list(0), 5), Page { rows: vec![], next: String::new() });
        let large = (0..9).map(|i| (i, "x".repeat(BYTES_MAX / 2)));
        assert_eq!(Page::of(large, 9).rows.len(), 2, "pages are bounded in bytes, too");
        assert_eq!((size(0), size(7), size(9999)), (100, 7, 1000));
    }

    #[test]
    fn tokens_are_keys_of_the_list() {
        assert_eq!(id_numbers("a1.20", 'a'), Some((1, 20)));
        for wrong in ["", "a", "a1", "g1.2", "a1.2.3", "a1.x"] {
            assert_eq!(id_numbers(wrong, 'a'), None, "{wrong}");
        }
        let parse = |token: &str| token.parse::<u32>().ok();
        assert_eq!(after("", parse).unwrap(), None);
        assert_eq!(after("7", parse).unwrap(), Some(7));
        assert_eq!(after("x", parse).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
