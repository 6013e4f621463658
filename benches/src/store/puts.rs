//! Putting: as fast as memory can be copied, and as often as can be.

use crate::metric::Metric;
use anyhow::Result;
use rayline_store::Buf;
use rayline_store::shm::{Client, ObjectKey, Store, StoreOptions};
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

const GIB: usize = 1 << 30;
/// Objects between two times that what was put is deleted.
const BATCH: u128 = 10_000;

/// The values of 1 GiB, and a store in whose memory one was before.
struct Large {
    value: Buf<u8>,
    client: Client,
    _store: Store,
}

impl Large {
    fn new() -> Result<Self> {
        let mut options = StoreOptions::new(GIB + GIB / 4);
        options.warm_bytes = 0;
        let store = Store::create(options)?;
        let large = Self { value: Buf::from(vec![3_u8; GIB]), client: store.client(), _store: store };
        for _ in 0..2 {
            large.put_seconds()?;
        }
        Ok(large)
    }

    /// The time of one put, by one thread. The object is deleted afterwards.
    fn put_seconds(&self) -> Result<f64> {
        let key = ObjectKey::from(1);
        let begin = Instant::now();
        let region = self.client.put(key, &self.value)?;
        let seconds = begin.elapsed().as_secs_f64();
        self.client.delete(&key)?;
        drop(region);
        Ok(seconds)
    }
}

/// 1 GiB into memory that was used before, encoded and all.
pub fn put(reps: usize) -> Result<Metric> {
    let large = Large::new()?;
    let seconds = (0..reps).map(|_| large.put_seconds()).collect::<Result<Vec<_>>>()?;
    let rates = seconds.into_iter().map(|seconds| GIB as f64 / 1e9 / seconds).collect();
    Ok(Metric::of("put", "GB/s", rates).with("bytes", GIB))
}

/// The rate of a put, of that of a copy from heap to heap in turn with it.
pub fn put_of_memcpy(reps: usize) -> Result<Metric> {
    let large = Large::new()?;
    let mut heap = vec![1_u8; GIB];
    let mut ratios = Vec::new();
    let mut copies = Vec::new();
    for _ in 0..reps {
        let begin = Instant::now();
        heap.copy_from_slice(black_box(&large.value));
        black_box(&mut heap);
        let copy = begin.elapsed().as_secs_f64();
        ratios.push(copy / large.put_seconds()?);
        copies.push(GIB as f64 / 1e9 / copy);
    }
    let copy = Metric::of("", "GB/s", copies);
    Ok(Metric::of("put_of_memcpy", "ratio", ratios).with("bytes", GIB).with("memcpy_gb_s", copy.value))
}

/// 64 bytes in eight numbers, by one thread.
pub fn small_put(reps: usize) -> Result<Metric> {
    small("small_put", reps, &[7_u64; 8])
}

/// 1 KiB in a buffer, by one thread.
pub fn small_put_1k(reps: usize) -> Result<Metric> {
    small("small_put_1k", reps, &Buf::from(vec![7_u8; 1024]))
}

/// Puts a second; beside it puts with their deletes. The regions aren't kept, and deletes are timed apart.
fn small<T: Serialize>(name: &str, reps: usize, value: &T) -> Result<Metric> {
    let store = Store::create(StoreOptions::new(256 << 20))?;
    let client = store.client();
    let (mut puts, mut both) = (Vec::new(), Vec::new());
    for rep in 0..=reps {
        let (mut put, mut all) = (0.0, 0.0);
        for batch in 0..20 {
            let begin = Instant::now();
            for key in 0..BATCH {
                client.put(ObjectKey::from(batch * BATCH + key), value)?;
            }
            put += begin.elapsed().as_secs_f64();
            for key in 0..BATCH {
                client.delete(&ObjectKey::from(batch * BATCH + key))?;
            }
            all += begin.elapsed().as_secs_f64();
        }
        if rep > 0 {
            puts.push(20.0 * BATCH as f64 / put);
            both.push(20.0 * BATCH as f64 / all);
        }
    }
    let both = Metric::of("", "ops/s", both);
    Ok(Metric::of(name, "ops/s", puts).with("put_and_delete_ops_s", both.value))
}
