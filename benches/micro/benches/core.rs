//! The steps of a publish and of a push: `make bench-micro`.

use std::hint::black_box;

use bench_micro::{Stream, World, candidate, limits};
use chancery::{admission::admit, protocol::Variant};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Decoding, checking and hashing encoded resources.
fn admission(c: &mut Criterion) {
    let mut group = c.benchmark_group("admit");
    for count in [1, 1000] {
        let candidate = candidate(0..count, 1);
        let limits = limits();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &candidate, |b, candidate| {
            b.iter(|| admit(black_box(candidate), &limits).expect("the content is valid"));
        });
    }
    group.finish();
}

/// A publish as a whole: admission, comparison, revision in memory, snapshot.
fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for resources in [100, 10_000] {
        let mut world = World::new(resources).expect("the content is valid");
        group.bench_function(BenchmarkId::new("patch of 1", resources), |b| {
            b.iter(|| world.patch(1).expect("the content is valid"));
        });
        group.bench_function(BenchmarkId::new("replace without a change", resources), |b| {
            let edition = world.edition();
            world.publish_all(edition).expect("the content is valid");
            b.iter(|| world.publish_all(edition).expect("the content is valid"));
        });
    }
    group.finish();
}

/// The cost of one stream's state machine per change, including its ACK. All streams that make the same step share the
/// comparison of the snapshots, so the first of them pays for it.
fn session(c: &mut Criterion) {
    for (variant, name) in [(Variant::Sotw, "session/SotW"), (Variant::Delta, "session/delta")] {
        let mut group = c.benchmark_group(name);
        for resources in [100, 10_000] {
            let mut world = World::new(resources).expect("the content is valid");
            let before = world.snapshot();
            world.patch(1).expect("the content is valid");
            let after = world.snapshot();
            let fresh = || Stream::in_sync(variant, &before);
            group.bench_function(BenchmarkId::new("a change", resources), |b| {
                b.iter_batched_ref(fresh, |stream| stream.follow(black_box(&after)), BatchSize::SmallInput);
            });
            group.bench_function(BenchmarkId::new("a stream from its start", resources), |b| {
                b.iter(|| Stream::in_sync(variant, black_box(&after)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, admission, publish, session);
criterion_main!(benches);
