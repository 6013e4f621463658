//! Keys and values of users, by namespace.

use super::{Change, Ledger, LedgerError, Table, To, write};
use std::sync::Arc;

/// The users' side of the ledger. A key is stored behind its namespace and that one's length, so that no namespace is
/// the beginning of another.
#[derive(Clone, Debug)]
pub struct Kv {
    ledger: Arc<dyn Ledger>,
}

/// Why a key can't be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// A namespace that is too long.
    #[error("a namespace of {bytes} bytes is over the limit of {limit}")]
    Namespace {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A key that is empty or too long.
    #[error("a key of {bytes} bytes: it has 1 to {limit}")]
    Key {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A value that is too long.
    #[error("a value of {bytes} bytes is over the limit of {limit}: keep what is larger elsewhere, and its name here")]
    Value {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The ledger refuses it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Kv {
    /// Bytes of a namespace.
    pub const NAMESPACE_BYTES_MAX: usize = 255;
    /// Bytes of a key.
    pub const KEY_BYTES_MAX: usize = 1024;
    /// Bytes of a value.
    pub const VALUE_BYTES_MAX: usize = 1 << 20;

    /// Keys and values in this ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Kv {
        Kv { ledger }
    }

    /// Puts a value, which is durable then; with `only_if_absent` not where there is one. Whether there was one before.
    ///
    /// # Errors
    /// See [`KvError`].
    pub async fn put(&self, space: &str, key: &[u8], value: Vec<u8>, only_if_absent: bool) -> Result<bool, KvError> {
        let (bytes, limit) = (value.len(), Self::VALUE_BYTES_MAX);
        if bytes > limit {
            return Err(KvError::Value { bytes, limit });
        }
        let to = if only_if_absent { To::ValueIfAbsent(value) } else { To::Value(value) };
        Ok(write(&*self.ledger, Change { table: Table::Kv, key: whole(space, key)?, to }).await?)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`Kv::put`].
    pub fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.ledger.get(Table::Kv, &whole(space, key)?)?)
    }

    /// Takes a key away; whether it was there.
    ///
    /// # Errors
    /// As [`Kv::put`].
    pub async fn delete(&self, space: &str, key: &[u8]) -> Result<bool, KvError> {
        Ok(write(&*self.ledger, Change::delete(Table::Kv, whole(space, key)?)).await?)
    }

    /// At most `keys_max` keys that begin with `prefix`, those behind `after`, in order; and whether there are more.
    ///
    /// # Errors
    /// As [`Kv::put`].
    pub fn list(
        &self,
        space: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        keys_max: usize,
    ) -> Result<(Vec<Vec<u8>>, bool), KvError> {
        let start = space_prefix(space)?;
        let of = |key: &[u8]| [&start, key].concat();
        let (mut keys, mut is_cut) = (Vec::new(), false);
        self.ledger.scan(Table::Kv, &of(prefix), after.map(of).as_deref(), &mut |key, _| {
            is_cut = keys.len() == keys_max;
            if !is_cut {
                keys.push(key[start.len()..].to_vec());
            }
            !is_cut
        })?;
        Ok((keys, is_cut))
    }
}

fn whole(space: &str, key: &[u8]) -> Result<Vec<u8>, KvError> {
    let (bytes, limit) = (key.len(), Kv::KEY_BYTES_MAX);
    if bytes == 0 || bytes > limit {
        return Err(KvError::Key { bytes, limit });
    }
    let mut whole = space_prefix(space)?;
    whole.extend(key);
    Ok(whole)
}

fn space_prefix(space: &str) -> Result<Vec<u8>, KvError> {
    let (bytes, limit) = (space.len(), Kv::NAMESPACE_BYTES_MAX);
    let length = u8::try_from(bytes).map_err(|_| KvError::Namespace { bytes, limit })?;
    Ok(std::iter::once(length).chain(space.bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ledger::tests::Memory;
    use tokio::runtime::Builder;

    #[test]
    fn namespaces_are_apart_and_lists_come_in_pages() {
        Builder::new_current_thread().build().unwrap().block_on(async {
            let kv = Kv::new(Arc::new(Memory::default()));
            for key in ["a", "ab", "abc", "b"] {
                assert!(!kv.put("one", key.as_bytes(), key.into(), false).await.unwrap());
            }
            assert!(!kv.put("on", b"eab", vec![1], false).await.unwrap());
            assert!(kv.put("one", b"a", vec![2], true).await.unwrap(), "it is there");
            assert_eq!(kv.get("one", b"a").unwrap(), Some(b"a".to_vec()), "and stays");
            assert_eq!(kv.get("two", b"a").unwrap(), None);

            let list = |prefix: &str, after: Option<&str>, max| {
                let (keys, is_cut) = kv.list("one", prefix.as_bytes(), after.map(str::as_bytes), max).unwrap();
                (keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect::<Vec<_>>().join(" "), is_cut)
            };
            assert_eq!(list("", None, 9), ("a ab abc b".into(), false));
            assert_eq!(list("a", None, 2), ("a ab".into(), true));
            assert_eq!(list("a", Some("ab"), 2), ("abc".into(), false));
            assert_eq!(list("x", None, 2), (String::new(), false));
            assert!(kv.delete("one", b"ab").await.unwrap() && !kv.delete("one", b"ab").await.unwrap());
            assert_eq!(list("a", None, 2), ("a abc".into(), false));
        });
    }

    #[test]
    fn what_is_too_large_is_refused() {
        Builder::new_current_thread().build().unwrap().block_on(async {
            let kv = Kv::new(Arc::new(Memory::default()));
            let (long, key) = ("x".repeat(256), vec![1; Kv::KEY_BYTES_MAX + 1]);
            assert!(matches!(kv.get(&long, b"a"), Err(KvError::Namespace { bytes: 256, limit: 255 })));
            assert!(matches!(kv.get("", &key), Err(KvError::Key { bytes: 1025, limit: 1024 })));
            assert!(matches!(kv.delete("", b"").await, Err(KvError::Key { bytes: 0, .. })));
            let value = vec![0; Kv::VALUE_BYTES_MAX + 1];
            assert!(matches!(kv.put("", b"a", value, false).await, Err(KvError::Value { .. })));
            assert!(kv.put("", &key[1..], vec![0; Kv::VALUE_BYTES_MAX], false).await.is_ok());
        });
    }
}
