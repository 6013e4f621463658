//! The codec's speed: `cargo bench -p rayline-store --bench codec`, or with a filter such as `small`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayline_store::{Buf, Region, RegionMut, Tensor, decode, decode_copied, encode, plan};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// The allocator that programs get from the `rayline` crate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two tensors of 104 MB together.
#[derive(Serialize, Deserialize, Clone)]
struct Batch {
    observations: Tensor<f32>, // [1_000_000, 25]
    rewards: Tensor<f32>,      // [1_000_000]
    policy: String,
}

/// The same for a format that knows no buffers.
#[derive(Serialize, Deserialize)]
struct Plain {
    observations: Vec<f32>,
    rewards: Vec<f32>,
}

/// What a task might be told: 80 bytes of numbers and a short string.
#[derive(Serialize, Deserialize, Clone)]
struct Spec {
    task: u128,
    function: u64,
    attempt: u32,
    retries: Option<u32>,
    resources: [u32; 4],
    arguments: (u64, u64),
    deadline: f64,
    is_actor: bool,
}

/// The same with what needs allocations.
#[derive(Serialize, Deserialize, Clone)]
struct Named {
    spec: Spec,
    name: String,
    weights: Vec<f32>,
}

#[derive(Serialize, Deserialize, Clone)]
struct One {
    id: u64,
    data: Buf<u8>,
}

fn batch() -> Batch {
    const STEPS: usize = 1_000_000;
    Batch {
        observations: Tensor::from_shape_vec((STEPS, 25), vec![0.5; 25 * STEPS]).expect("25 numbers a step"),
        rewards: Tensor::from_shape_vec(STEPS, vec![1.0; STEPS]).expect("a number a step"),
        policy: "episode 7".into(),
    }
}

fn spec() -> Spec {
    Spec {
        task: 1 << 100,
        function: 0xdead_beef_0123,
        attempt: 1,
        retries: Some(3),
        resources: [10_000, 0, 500, 0],
        arguments: (1 << 40, 1 << 41),
        deadline: 12.5,
        is_actor: false,
    }
}

fn large(c: &mut Criterion) {
    let batch = batch();
    let planned = plan(&batch).expect("no limit is reached");
    let mut group = c.benchmark_group("large");
    group.sample_size(20);
    group.bench_function("plan", |b| b.iter(|| plan(black_box(&batch))));
    let region = encode(&batch).expect("no limit is reached");
    group.bench_function("decode", |b| b.iter(|| decode::<Batch>(black_box(&region))));
    let views: Batch = decode(&region).expect("just encoded");
    group.bench_function("plan_of_views", |b| b.iter(|| plan(black_box(&views))));
    group.throughput(Throughput::Bytes(planned.len() as u64));
    let mut destination = RegionMut::zeroed(planned.len());
    destination.fill(1);
    group.bench_function("memcpy", |b| b.iter(|| destination.copy_from_slice(black_box(&region))));
    group.bench_function("encode_into_warm_memory", |b| {
        b.iter(|| plan(black_box(&batch)).and_then(|plan| plan.write_into(&mut destination)))
    });
    group.bench_function("encode_into_fresh_memory", |b| b.iter(|| encode(black_box(&batch))));
    let mut bytes = vec![1; planned.len() + 64];
    group.bench_function("postcard_encode_bytes", |b| {
        b.iter(|| postcard::to_slice(black_box(&batch), &mut bytes).map(|bytes| bytes.len()))
    });
    let bytes = postcard::to_stdvec(&batch).expect("it has no limits");
    group.bench_function("postcard_decode_bytes", |b| b.iter(|| postcard::from_bytes::<Batch>(black_box(&bytes))));
    let [observations, rewards] = [&batch.observations, &batch.rewards].map(|tensor| tensor.data().to_vec());
    let bytes = postcard::to_stdvec(&Plain { observations, rewards }).expect("it has no limits");
    group.bench_function("postcard_decode_numbers", |b| b.iter(|| postcard::from_bytes::<Plain>(black_box(&bytes))));
    group.finish();
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("small");
    let spec = spec();
    compare(&mut group, "spec", &spec);
    compare(&mut group, "named", &Named { spec, name: "rollout".into(), weights: vec![0.25; 4] });
    group.finish();
}

/// There and back: in memory that is reused, in a region of its own, and with postcard in memory that is reused.
fn compare<T: Serialize + for<'de> Deserialize<'de>>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    value: &T,
) {
    let mut bytes = vec![0; 1024];
    group.bench_function(format!("{name}/reused"), |b| {
        b.iter(|| {
            let plan = plan(black_box(value)).expect("no limit is reached");
            let bytes = &mut bytes[..plan.len()];
            plan.write_into(bytes).expect("it has the length");
            decode_copied::<T>(black_box(bytes))
        })
    });
    group.bench_function(format!("{name}/region"), |b| {
        b.iter(|| decode::<T>(black_box(&encode(black_box(value)).expect("no limit is reached"))))
    });
    let region = encode(value).expect("no limit is reached");
    group.bench_function(format!("{name}/plan"), |b| b.iter(|| plan(black_box(value))));
    group.bench_function(format!("{name}/decode"), |b| b.iter(|| decode::<T>(black_box(&region))));
    group.bench_function(format!("{name}/postcard"), |b| {
        b.iter(|| {
            let bytes = postcard::to_slice(black_box(value), &mut bytes).expect("it is small");
            postcard::from_bytes::<T>(black_box(bytes))
        })
    });
}

/// What `INLINE_BYTES_MAX` is chosen by: run with it at 0, and at a large number.
fn inline(c: &mut Criterion) {
    let mut group = c.benchmark_group("inline");
    for len in [16, 64, 128, 256, 512, 1024, 2048, 4096, 16384] {
        let one = One { id: 7, data: vec![1; len].into() };
        let size = plan(&one).expect("no limit is reached").len();
        let mut memory = RegionMut::zeroed(size);
        group.bench_function(format!("encode/{len}"), |b| {
            b.iter(|| plan(black_box(&one)).and_then(|plan| plan.write_into(&mut memory)))
        });
        let region: Region = encode(&one).expect("no limit is reached");
        group.bench_function(format!("decode/{len}"), |b| b.iter(|| decode::<One>(black_box(&region))));
    }
    group.finish();
}

criterion_group!(benches, small, inline, large);
criterion_main!(benches);
