//! More data than memory.

use rayline_store::decode;
use rayline_store::shm::{Client, ObjectKey, ObjectState, Store, StoreError, StoreOptions};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MB: usize = 1 << 20;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rayline-spill-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> usize {
        fn count(path: &Path) -> usize {
            let inside = |entry: fs::DirEntry| if entry.path().is_dir() { count(&entry.path()) } else { 1 };
            fs::read_dir(path).unwrap().map(|entry| inside(entry.unwrap())).sum()
        }
        count(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(folders: &[&Folder]) -> StoreOptions {
    let mut options = StoreOptions::new(32 * MB);
    options.patience = Duration::from_millis(50);
    options.spill_dirs = folders.iter().map(|folder| folder.0.clone()).collect();
    options.spill_spare_bytes = 0;
    options
}

fn connect(store: &Store) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    store.serve(ours).unwrap();
    Client::connect(theirs).unwrap()
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::from(number as u128)
}

fn batch(number: usize, len: usize) -> Vec<u64> {
    (0..len as u64 / 8).map(|at| at.wrapping_mul(number as u64 + 1)).collect()
}

#[test]
fn three_times_the_stores_size_passes_through() {
    let (a, b) = (Folder::new("three-a"), Folder::new("three-b"));
    let store = Store::create(options(&[&a, &b])).unwrap();
    let (maker, reader) = (connect(&store), store.client());
    let len = |number: usize| if number.is_multiple_of(5) { 40_000 } else { 2 * MB + number * 1000 };
    for number in 0..60 {
        maker.put(key(number), &batch(number, len(number))).unwrap();
    }
    let usage = store.usage();
    assert!(usage.object_bytes + usage.spilled_bytes > 3 * 32 * MB as u64, "{usage:?}");
    assert!(usage.spilled_bytes > 64 * MB as u64 && usage.extent_bytes <= 32 * MB, "{usage:?}");
    assert!(a.files() > 5 && b.files() > 5, "both folders are used");
    for number in (0..60).rev().chain(0..60) {
        let region = reader.get(&key(number)).unwrap().unwrap();
        assert_eq!(decode::<Vec<u64>>(&region).unwrap(), batch(number, len(number)), "object {number}");
    }
    for number in 0..60 {
        assert!(maker.delete(&key(number)).unwrap());
        assert!(reader.get(&key(number)).unwrap().is_none());
    }
    assert_eq!((a.files(), b.files(), store.usage().objects + store.usage().spilled_objects), (1, 1, 0));
    drop((maker, reader));
    drop(store);
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_what_is_viewed_stays() {
    let folder = Folder::new("lru");
    let store = Store::create(options(&[&folder])).unwrap();
    let client = store.client();
    for number in 0..7 {
        client.put(key(number), &batch(number, 4 * MB)).unwrap();
    }
    let view = client.get(&key(1)).unwrap().unwrap();
    drop(client.get(&key(0)).unwrap());
    client.put(key(7), &batch(7, 4 * MB)).unwrap();
    let state = |number| store.list().into_iter().find(|object| object.key == Some(key(number))).unwrap().state;
    assert_eq!((state(0), state(2)), (ObjectState::Sealed, ObjectState::Spilled));
    assert_eq!(state(1), ObjectState::Pinned { clients: 1, is_deleted: false });
    assert_eq!(decode::<Vec<u64>>(&view).unwrap(), batch(1, 4 * MB));
}

#[test]
fn a_disk_without_room_is_told_of_and_nothing_is_lost() {
    let folder = Folder::new("full");
    let mut options = options(&[&folder]);
    options.spill_spare_bytes = u64::MAX;
    let store = Store::create(options).unwrap();
    let client = store.client();
    client.put(key(1), &batch(1, 20 * MB)).unwrap();
    let error = client.put(key(2), &batch(2, 20 * MB)).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { wanted } if wanted > 20 * MB), "{error}");
    assert_eq!(decode::<Vec<u64>>(&client.get(&key(1)).unwrap().unwrap()).unwrap(), batch(1, 20 * MB));
    client.delete(&key(1)).unwrap();
    client.put(key(2), &batch(2, 20 * MB)).unwrap();
}

#[test]
fn a_spilled_file_that_is_gone_is_an_error_not_a_hang() {
    let folder = Folder::new("gone");
    let store = Store::create(options(&[&folder])).unwrap();
    let client = connect(&store);
    client.put(key(1), &batch(1, 20 * MB)).unwrap();
    client.put(key(2), &batch(2, 20 * MB)).unwrap();
    for entry in fs::read_dir(&folder.0).unwrap() {
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    assert!(matches!(client.get(&key(1)), Err(StoreError::Io(_))));
    assert!(client.delete(&key(1)).unwrap() && client.get(&key(1)).unwrap().is_none());
    assert!(client.get(&key(2)).unwrap().is_some());
}

#[test]
fn the_next_store_sweeps_what_the_dead_left_and_spares_the_living() {
    let folder = Folder::new("sweep");
    let dead = folder.0.join("rayline-store-dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::write(dead.join("7-1"), "left over").unwrap();
    fs::write(folder.0.join("other"), "not ours").unwrap();
    let first = Store::create(options(&[&folder])).unwrap();
    assert_eq!(folder.files(), 2);
    let second = Store::create(options(&[&folder])).unwrap();
    assert_eq!(folder.files(), 3);
    let client = first.client();
    client.put(key(1), &batch(1, 20 * MB)).unwrap();
    client.put(key(2), &batch(2, 20 * MB)).unwrap();
    assert!(client.get(&key(1)).unwrap().is_some());
    drop(second);
    assert!(client.get(&key(2)).unwrap().is_some());
}

#[test]
fn threads_get_and_delete_while_others_spill() {
    let folder = Folder::new("threads");
    let store = Store::create(options(&[&folder])).unwrap();
    let clients = [store.client(), connect(&store), connect(&store)];
    std::thread::scope(|scope| {
        for (thread, client) in clients.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..60 {
                    let number = round * 3 + thread;
                    client.put(key(number), &batch(number, MB + number * 5000)).unwrap();
                    let other = number.saturating_sub(20);
                    if let Some(region) = client.get(&key(other)).unwrap() {
                        assert_eq!(decode::<Vec<u64>>(&region).unwrap(), batch(other, MB + other * 5000));
                    }
                    if number >= 90 {
                        assert!(client.delete(&key(number - 90)).unwrap(), "object {}", number - 90);
                    }
                }
            });
        }
    });
}
