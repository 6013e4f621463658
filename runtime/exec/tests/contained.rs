//! Code of the user that panics where one doesn't expect it: in `drop`, in a waker. No thread dies, nobody hangs.
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline_exec::*;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a bomb");
        }
    }
}

enum Out {
    Fine,
    Armed { _bomb: Bomb },
    Fault,
}

impl Outcome for Out {
    fn from_fault(_: &'static str, _: Fault) -> Self {
        Out::Fault
    }
}

struct Run<F>(F);

impl<F: FnOnce() -> Out + Send + 'static> Function<()> for Run<F> {
    type Outcome = Out;
    const NAME: &'static str = "run";

    fn call(self, (): ()) -> Out {
        (self.0)()
    }
}

struct Gate;

impl Named for Gate {
    const NAME: &'static str = "gate";
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

fn ends(handle: &Handle<Out>) -> bool {
    handle.wait_until(Instant::now() + Duration::from_secs(20))
}

#[test]
fn panics_outside_jobs_take_nothing_with_them() {
    std::panic::set_hook(Box::new(|_| ()));
    let pool = Pool::new(PoolOptions { workers: 1, ..PoolOptions::default() });
    // What a job captured explodes after the job.
    let bomb = Bomb;
    let captured = pool.submit((), Run(move || if std::mem::size_of_val(&bomb) > 0 { Out::Fault } else { Out::Fine }));
    assert!(ends(&captured));
    // An outcome that nobody wants explodes on the worker, or here where the worker was faster.
    for _ in 0..10 {
        let armed = pool.submit((), Run(|| Out::Armed { _bomb: Bomb }));
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(armed))));
    }
    // A job that is cancelled, and one whose pool is shut down, explode unrun.
    let (promise, gate) = promise::<Gate, Out>();
    let hog = pool.submit(
        (),
        Run(move || {
            while !gate.is_done() {
                std::hint::spin_loop();
            }
            Out::Fine
        }),
    );
    let bomb = Bomb;
    let cancelled = pool.submit((), Run(move || Out::Armed { _bomb: bomb }));
    cancelled.cancel();
    assert!(ends(&cancelled));
    // A waker panics, and the next still hears.
    let waker = Waker::from(Arc::new(PanickingWaker));
    let mut done = Box::pin(hog.done());
    assert!(std::future::Future::poll(done.as_mut(), &mut std::task::Context::from_waker(&waker)).is_pending());
    promise.complete(Out::Fine);
    assert!(ends(&hog), "the waker's panic took the worker with it");
    drop(done);
    let after = pool.submit((), Run(|| Out::Fine));
    assert!(ends(&after) && matches!(after.outcome(), Some(Ok(Out::Fine))), "the worker lives");
    assert_eq!(pool.threads(), 1, "and no other had to take its place");
    pool.shutdown();
}
