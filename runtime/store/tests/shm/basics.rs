//! What a client sees, whoever else there is.

use rayline_store::shm::{Client, ObjectKey, ObjectState, Store, StoreError, StoreOptions};
use rayline_store::{Tensor, decode};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const MB: usize = 1 << 20;

fn store(bytes: usize) -> Store {
    let mut options = StoreOptions::new(bytes);
    options.patience = Duration::from_millis(30);
    options.warm_bytes = 0;
    Store::create(options).unwrap()
}

fn connect(store: &Store) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    store.serve(ours).unwrap();
    Client::connect(theirs).unwrap()
}

fn fill(client: &Client, key: u128, len: usize, byte: u8) -> Result<(), StoreError> {
    let mut unsealed = client.allocate(len)?;
    unsealed.fill(byte);
    client.seal(ObjectKey::from(key), unsealed).map(drop)
}

#[test]
fn what_one_client_puts_another_views_in_place() {
    let store = store(64 * MB);
    let (a, b) = (store.client(), connect(&store));
    let tensor = Tensor::from_shape_vec((1000, 100), (0..100_000).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
    let key = ObjectKey::from(5);
    a.put(key, &("deep".to_owned(), vec![tensor.clone()])).unwrap();
    let region = b.get(&key).unwrap().unwrap();
    let (text, tensors): (String, Vec<Tensor<f32>>) = decode(&region).unwrap();
    assert_eq!((text.as_str(), &tensors[0]), ("deep", &tensor));
    assert!(region.as_ptr_range().contains(&tensors[0].data().as_ptr().cast()));
    assert!(b.delete(&key).unwrap());
    assert!(a.get(&key).unwrap().is_none() && !a.delete(&key).unwrap());
    drop(region);
    assert_eq!(tensors[0], tensor);
}

#[test]
fn sizes_from_nothing_to_many_chunks_survive() {
    let store = store(64 * MB);
    let (a, b) = (store.client(), connect(&store));
    let lens = [0, 1, 63, 64, 65, 4096, 65_536, 262_144, 262_145, 1_000_000, 9_000_000];
    for (at, len) in lens.into_iter().enumerate() {
        fill(&a, at as u128, len, at as u8 + 1).unwrap();
    }
    for (at, len) in lens.into_iter().enumerate() {
        let region = b.get(&ObjectKey::from(at as u128)).unwrap().unwrap();
        assert_eq!(region.len(), len);
        assert!(region.iter().all(|byte| *byte == at as u8 + 1));
    }
}

#[test]
fn a_key_is_taken_until_its_object_is_deleted() {
    let store = store(8 * MB);
    let client = store.client();
    fill(&client, 1, 10, 1).unwrap();
    assert!(matches!(fill(&client, 1, 10, 2), Err(StoreError::KeyExists { key }) if key == ObjectKey::from(1)));
    assert_eq!(client.get(&ObjectKey::from(1)).unwrap().unwrap()[..], [1; 10]);
    client.delete(&ObjectKey::from(1)).unwrap();
    fill(&client, 1, 10, 3).unwrap();
    assert_eq!(client.get(&ObjectKey::from(1)).unwrap().unwrap()[..], [3; 10]);
}

#[test]
fn memory_is_used_again_once_nobody_views_it() {
    let store = store(8 * MB);
    let (a, b) = (connect(&store), connect(&store));
    for round in 0..50_u8 {
        fill(&a, 1, 5 * MB, round).unwrap();
        let view = b.get(&ObjectKey::from(1)).unwrap().unwrap();
        b.delete(&ObjectKey::from(1)).unwrap();
        assert!(matches!(fill(&a, 2, 5 * MB, 0), Err(StoreError::ObjectStoreFull { wanted, .. }) if wanted == 5 * MB));
        assert!(view.iter().all(|byte| *byte == round));
    }
    for round in 0..200_000_u128 {
        fill(&a, round, 700, 1).unwrap();
        b.delete(&ObjectKey::from(round)).unwrap();
    }
    fill(&b, 3, 5 * MB, 9).unwrap();
}

#[test]
fn an_unsealed_object_that_is_dropped_is_given_back() {
    let store = store(8 * MB);
    let client = store.client();
    for _ in 0..100 {
        drop(client.allocate(6 * MB).unwrap());
    }
    let unsealed = client.allocate(10).unwrap();
    assert!(matches!(connect(&store).seal(ObjectKey::from(1), unsealed), Err(StoreError::ForeignUnsealed)));
}

#[test]
fn a_full_store_says_so_after_a_while_and_not_for_ever() {
    let store = store(8 * MB);
    let client = store.client();
    let _all = client.allocate(7 * MB).unwrap();
    let began = Instant::now();
    let error = client.allocate(6 * MB).unwrap_err();
    assert!(matches!(error, StoreError::ObjectStoreFull { wanted, free } if wanted == 6 * MB && free == MB), "{error}");
    assert!((Duration::from_millis(30)..Duration::from_secs(5)).contains(&began.elapsed()));
    assert!(matches!(client.allocate(usize::MAX), Err(StoreError::ObjectStoreFull { .. })));
}

#[test]
fn who_waits_for_memory_gets_it_when_it_comes() {
    let mut options = StoreOptions::new(8 * MB);
    options.patience = Duration::from_secs(20);
    let store = Store::create(options).unwrap();
    let (a, b) = (store.client(), connect(&store));
    let all = a.allocate(7 * MB).unwrap();
    let waiting = std::thread::spawn(move || b.allocate(6 * MB).map(drop));
    std::thread::sleep(Duration::from_millis(20));
    drop(all);
    waiting.join().unwrap().unwrap();
}

#[test]
fn there_is_a_bound_on_objects_and_it_comes_back() {
    let mut options = StoreOptions::new(8 * MB);
    options.objects_max = 128;
    let store = Store::create(options).unwrap();
    let client = store.client();
    for key in 0..128 {
        fill(&client, key, 1, 1).unwrap();
    }
    assert!(matches!(fill(&client, 128, 1, 1), Err(StoreError::TooManyObjects { objects_max: 128 })));
    client.delete(&ObjectKey::from(7)).unwrap();
    fill(&client, 128, 1, 1).unwrap();
}

#[test]
fn a_client_outlives_the_store_with_what_it_views() {
    let store = store(8 * MB);
    let client = connect(&store);
    fill(&client, 1, 3 * MB, 7).unwrap();
    let view = client.get(&ObjectKey::from(1)).unwrap().unwrap();
    client.delete(&ObjectKey::from(1)).unwrap();
    drop(store);
    std::thread::sleep(Duration::from_millis(20));
    assert!(matches!(client.allocate(7 * MB), Err(StoreError::Gone(_))));
    assert!(view.iter().all(|byte| *byte == 7));
}

#[test]
fn many_threads_put_view_and_delete() {
    let store = store(16 * MB);
    let clients = [store.client(), connect(&store), connect(&store)];
    std::thread::scope(|scope| {
        for thread in 0..6_u128 {
            let client = &clients[thread as usize % 3];
            scope.spawn(move || {
                for round in 0..3000_u128 {
                    let key = (thread << 32) | round;
                    let byte = ((key * 31) >> 3) as u8;
                    fill(client, key, 100 + (round as usize * 7919) % 60_000, byte).unwrap();
                    let other = ObjectKey::from((((thread + 1) % 6) << 32) | round.saturating_sub(1));
                    if let Some(view) = client.get(&other).unwrap() {
                        assert!(view.windows(2).all(|pair| pair[0] == pair[1]), "seen while it changed");
                    }
                    if round >= 8 {
                        assert!(client.delete(&ObjectKey::from((thread << 32) | (round - 8))).unwrap());
                    }
                }
            });
        }
    });
}

#[test]
fn objects_are_listed_with_what_they_are_at() {
    let store = store(8 * MB);
    let (a, b) = (store.client(), connect(&store));
    let _unsealed = b.allocate(10).unwrap();
    fill(&a, 1, 100, 1).unwrap();
    fill(&b, 2, MB, 1).unwrap();
    let _views = [&a, &b].map(|client| client.get(&ObjectKey::from(2)).unwrap());
    fill(&a, 3, 30, 1).unwrap();
    let _deleted = a.get(&ObjectKey::from(3)).unwrap();
    a.delete(&ObjectKey::from(3)).unwrap();
    let mut listed = store.list();
    listed.sort_by_key(|object| object.key);
    let states: Vec<_> = listed.iter().map(|object| (object.key, object.bytes, object.state, object.made_by)).collect();
    let key = |number: u128| Some(ObjectKey::from(number));
    assert_eq!(
        states,
        [
            (None, 10, ObjectState::Unsealed, 1),
            (key(1), 100, ObjectState::Sealed, 0),
            (key(2), MB as u64, ObjectState::Pinned { clients: 2, is_deleted: false }, 1),
            (key(3), 30, ObjectState::Pinned { clients: 1, is_deleted: true }, 0),
        ]
    );
    assert!(listed.iter().all(|object| object.age < Duration::from_secs(60)));
    let usage = store.usage();
    assert_eq!((usage.bytes, usage.objects, usage.object_bytes), (8 * MB, 4, 140 + MB as u64));
    assert_eq!(usage.extent_bytes, MB + 2 * 256 * 1024);
}

#[test]
fn unused_memory_is_touched_ahead_of_need() {
    let mut options = StoreOptions::new(16 * MB);
    options.warm_bytes = 4 * MB;
    let store = Store::create(options).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.usage().recycled_bytes < 4 * MB {
        assert!(Instant::now() < deadline, "nobody touches it");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(store.usage().fresh_bytes > 10 * MB);
}
