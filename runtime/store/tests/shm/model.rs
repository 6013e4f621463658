//! Programs of several clients, held to a map of keys as model.

use proptest::prelude::*;
use rayline_store::Region;
use rayline_store::shm::{Client, ObjectKey, Store, StoreError, StoreOptions};
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const MB: usize = 1 << 20;
const CLIENTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Put {
        client: usize,
        key: u128,
        len: usize,
    },
    Abandon {
        client: usize,
        len: usize,
    },
    View {
        client: usize,
        key: u128,
    },
    Forget {
        view: usize,
    },
    Delete {
        client: usize,
        key: u128,
    },
    /// The client ends with all that it views, and another takes its place.
    Reconnect {
        client: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (client, key) = (0..CLIENTS, 0_u128..12);
    let len = prop_oneof![0..2000_usize, 60_000..70_000_usize, MB / 2..3 * MB];
    prop_oneof![
        5 => (client.clone(), key.clone(), len.clone()).prop_map(|(client, key, len)| Op::Put { client, key, len }),
        1 => (client.clone(), len).prop_map(|(client, len)| Op::Abandon { client, len }),
        4 => (client.clone(), key.clone()).prop_map(|(client, key)| Op::View { client, key }),
        3 => (0..8_usize).prop_map(|view| Op::Forget { view }),
        3 => (client.clone(), key).prop_map(|(client, key)| Op::Delete { client, key }),
        1 => client.prop_map(|client| Op::Reconnect { client }),
    ]
}

struct View {
    client: usize,
    region: Region,
    byte: u8,
}

struct World {
    store: Store,
    clients: Vec<(Client, std::thread::JoinHandle<()>)>,
    /// What byte an object is full of, and its length.
    model: HashMap<u128, (u8, usize)>,
    views: Vec<View>,
    puts: u8,
}

impl World {
    fn new(spill: Option<&std::path::Path>) -> Self {
        let mut options = StoreOptions::new(8 * MB);
        options.patience = Duration::ZERO;
        options.warm_bytes = 0;
        options.spill_dirs = spill.into_iter().map(Into::into).collect();
        options.spill_spare_bytes = 0;
        let store = Store::create(options).unwrap();
        let clients = (0..CLIENTS).map(|_| connect(&store)).collect();
        Self { store, clients, model: HashMap::new(), views: vec![], puts: 0 }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { client, key, len } => self.put(client, key, len),
            Op::Abandon { client, len } => drop(self.clients[client].0.allocate(len)),
            Op::View { client, key } => self.view(client, key),
            Op::Forget { view } => {
                if view < self.views.len() {
                    self.views.swap_remove(view);
                }
            }
            Op::Delete { client, key } => {
                let is_deleted = self.clients[client].0.delete(&ObjectKey::from(key)).unwrap();
                assert_eq!(is_deleted, self.model.remove(&key).is_some());
            }
            Op::Reconnect { client } => {
                self.views.retain(|view| view.client != client);
                let new = connect(&self.store);
                let (old, serving) = std::mem::replace(&mut self.clients[client], new);
                drop(old);
                serving.join().unwrap();
            }
        }
        for view in &self.views {
            assert!(view.region.iter().all(|byte| *byte == view.byte), "an object changed while it was viewed");
        }
        assert_eq!(self.store.usage().extent_bytes % (64 << 10), 0);
    }

    fn put(&mut self, client: usize, key: u128, len: usize) {
        let client = &self.clients[client].0;
        self.puts = self.puts.wrapping_add(1);
        let mut unsealed = match client.allocate(len) {
            Ok(unsealed) => unsealed,
            Err(StoreError::ObjectStoreFull { .. }) => return assert!(self.is_tight(), "there must have been room"),
            Err(error) => panic!("{error}"),
        };
        unsealed.fill(self.puts);
        match (client.seal(ObjectKey::from(key), unsealed), self.model.contains_key(&key)) {
            (Ok(region), false) => {
                assert_eq!(region.len(), len);
                self.model.insert(key, (self.puts, len));
            }
            (Err(StoreError::KeyExists { .. }), true) => {}
            (sealed, exists) => panic!("{sealed:?}, and exists: {exists}"),
        }
    }

    fn view(&mut self, client: usize, key: u128) {
        match (self.clients[client].0.get(&ObjectKey::from(key)), self.model.get(&key)) {
            (Ok(None), None) => {}
            (Ok(Some(region)), Some(&(byte, len))) => {
                assert_eq!(region.len(), len);
                assert!(region.iter().all(|found| *found == byte));
                self.views.push(View { client, region, byte });
            }
            (Err(StoreError::ObjectStoreFull { .. }), Some(_)) => assert!(self.is_tight(), "there must have been room"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    /// Whether pieces of 3 MiB may be short, by what can't be spilled and the slabs that clients hold.
    fn is_tight(&self) -> bool {
        !self.views.is_empty() || self.model.values().map(|(_, len)| len + (64 << 10)).sum::<usize>() > 2 * MB
    }

    /// All that there was goes, and so all memory comes back.
    fn end(mut self) {
        self.views.clear();
        for key in self.model.keys() {
            assert!(self.clients[0].0.delete(&ObjectKey::from(*key)).unwrap());
        }
        assert_eq!(self.store.list(), []);
        for (client, serving) in self.clients.drain(..) {
            drop(client);
            serving.join().unwrap();
        }
        let usage = self.store.usage();
        assert!(usage.extent_bytes <= 2 * 256 * 1024, "only what the store holds for itself is left: {usage:?}");
        drop(self.store.client().allocate(7 * MB).unwrap());
    }
}

fn connect(store: &Store) -> (Client, std::thread::JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = store.serve(ours).unwrap();
    (Client::connect(theirs).unwrap(), serving)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clients_see_what_a_map_would_have(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new(None);
        ops.into_iter().for_each(|op| world.apply(op));
        world.end();
    }
}

proptest! {
    // Each spill waits for the disk.
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn also_where_they_spill(ops in prop::collection::vec(op(), 1..50)) {
        let folder = std::env::temp_dir().join(format!("rayline-spill-model-{}", std::process::id()));
        let mut world = World::new(Some(&folder));
        ops.into_iter().for_each(|op| world.apply(op));
        world.end();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
