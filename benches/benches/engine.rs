//! The engine's inner pieces, one by one.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rayline::prelude::*;
use std::hint::black_box;

#[task]
fn noop(x: i64) -> i64 {
    x + 1
}

#[derive(Actor)]
struct Cell {
    value: i64,
}

#[methods]
impl Cell {
    pub fn new() -> Self {
        Self { value: 0 }
    }

    pub fn set(&mut self, value: i64) -> i64 {
        std::mem::replace(&mut self.value, value)
    }

    pub fn get(&self) -> i64 {
        self.value
    }
}

fn objects(criterion: &mut Criterion) {
    criterion.bench_function("put and drop", |bencher| bencher.iter(|| put(black_box(1i64))));
    let object = put(vec![0.5f32; 1 << 20]);
    criterion.bench_function("read 4 MiB in place", |bencher| {
        bencher.iter(|| object.read().expect("a value that was put")[black_box(7)]);
    });
    criterion.bench_function("clone and drop a reference", |bencher| bencher.iter(|| black_box(object.clone())));
}

fn tasks(criterion: &mut Criterion) {
    criterion.bench_function("submit, get", |bencher| bencher.iter(|| noop::remote(black_box(1)).get()));
    criterion.bench_function("submit 1,000, get all", |bencher| {
        bencher.iter(|| {
            let refs: Vec<_> = (0..1000).map(noop::remote).collect();
            get_all(&refs)
        });
    });
    criterion.bench_function("as_completed of 1,000", |bencher| {
        let submit = || (0..1000).map(noop::remote).collect::<Vec<_>>();
        bencher.iter_batched(submit, |refs| as_completed(refs).count(), BatchSize::SmallInput);
    });
    criterion.bench_function("leased task: submit, get", |bencher| {
        bencher.iter(|| noop::call(black_box(1)).cpu(0.5).remote().get());
    });
}

fn actors(criterion: &mut Criterion) {
    let cell = Cell::remote();
    criterion.bench_function("call by &mut self, get", |bencher| bencher.iter(|| cell.set(black_box(1)).get()));
    criterion.bench_function("call by &self, get", |bencher| bencher.iter(|| cell.get().get()));
}

criterion_group!(engine, objects, tasks, actors);
criterion_main!(engine);
