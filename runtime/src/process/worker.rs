//! A worker process: runs what its driver sends, until the driver closes the ring or is gone.

use super::RING;
use super::lane::Given;
use super::wire::{Header, Inlet, Kind, Outlet};
use crate::config::Config;
use crate::context::{Assigned, Cancellation, assigned};
use crate::error::Error;
use crate::registry::{self, Answer, Entry, FunctionId};
use crate::runtime;
use crate::task::Unwatched;
use rayline_exec::Function;
use rayline_store::{Region, decode, decode_copied, encode};
use rayline_transport::ring::{self, Pair, Receiver, Wait};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{Write, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the worker spins for calls before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// What a worker is told first.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) fingerprint: u64,
    pub(crate) cpus: u32,
    pub(crate) threads_max: usize,
    pub(crate) stack_bytes: usize,
}

/// The body of a worker process. `is_wanted` tells whether its driver is still there.
pub(super) fn main(is_wanted: impl Fn() -> bool) -> ! {
    // The signal comes when the thread ends that started this process: one that outlives its workers.
    let died_first = set_parent_process_death_signal(Some(Signal::KILL)).is_err() || !is_wanted();
    if died_first {
        exit(0);
    }
    match serve() {
        Ok(()) => exit(0),
        Err(why) => {
            let _ = writeln!(stderr(), "rayline worker: {why}");
            exit(70)
        }
    }
}

/// Runs calls until the driver closes the ring.
fn serve() -> Result<(), String> {
    let file = ring::inherited(RING).map_err(|error| error.to_string())?;
    let Pair { sender, mut receiver, .. } = Pair::open(file).map_err(|error| error.to_string())?;
    let mut inlet = Inlet::default();
    let worker = Arc::new(Worker { outlet: Outlet::new(sender), running: Mutex::default() });
    let mut runtime = None;
    while receiver.wait(SPIN, None) != Wait::Closed {
        for (header, body) in received(&mut receiver, &mut inlet)? {
            match header.kind {
                Kind::Hello => runtime = Some(start(&body)?),
                Kind::Run => worker.clone().run(header, body),
                Kind::Cancel => worker.cancel(header.call),
                Kind::Value | Kind::Failed => return Err("the driver sent an answer".into()),
            }
        }
    }
    drop(runtime);
    Ok(())
}

fn received(receiver: &mut Receiver, inlet: &mut Inlet) -> Result<Vec<(Header, Region)>, String> {
    let mut messages = Vec::new();
    let mut garbled = false;
    let received = receiver.recv_batch(|frame| match inlet.take(frame) {
        Ok(message) => messages.extend(message),
        Err(_) => garbled = true,
    });
    match received {
        Ok(_) if !garbled => Ok(messages),
        _ => Err("the driver sent what can't be read".into()),
    }
}

fn start(hello: &Region) -> Result<crate::Runtime, String> {
    let hello: Hello = decode(hello).map_err(|error| error.to_string())?;
    if hello.fingerprint != registry::fingerprint() {
        return Err("the driver runs another program: its tasks have other names".into());
    }
    let config = Config::default().cpus(hello.cpus).threads_max(hello.threads_max).stack(hello.stack_bytes);
    crate::init_with(config).map_err(|error| error.to_string())
}

/// What the threads of a worker process share.
struct Worker {
    outlet: Outlet,
    running: Mutex<HashMap<u64, Arc<Cancellation>>>,
}

impl Worker {
    fn run(self: Arc<Self>, header: Header, body: Region) {
        let call = header.call;
        match Call::new(self.clone(), header, body) {
            Ok(run) => drop(runtime::pool().submit_urgent(run)),
            Err(error) => self.answer(call, Answer::Failed { error, retryable: false }),
        }
    }

    fn cancel(&self, call: u64) {
        let cancellation = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&call).cloned();
        if let Some(cancellation) = cancellation {
            cancellation.tell();
        }
    }

    fn answer(&self, call: u64, answer: Answer) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        let (header, body) = match answer {
            Answer::Value(value) => (Header::new(Kind::Value, call), value),
            Answer::Failed { error, retryable } => {
                let error = encode(&error).expect("an error is names, numbers and words");
                (Header { flag: retryable, ..Header::new(Kind::Failed, call) }, error)
            }
        };
        // A driver that is gone needs no answer: this process ends, too.
        let _ = self.outlet.send(header, [&body, &[]]);
    }
}

/// One attempt of a task.
struct Call {
    worker: Arc<Worker>,
    header: Header,
    entry: &'static Entry,
    args: Region,
    given: Arc<Assigned>,
}

impl Call {
    fn new(worker: Arc<Worker>, header: Header, body: Region) -> Result<Self, Error> {
        let entry = registry::entry(FunctionId(header.function)).ok_or_else(Error::unregistered)?;
        let (args, given) = body.split_at(body.len() - header.given_bytes as usize);
        let unreadable = |error| Error::codec(entry.name, "lease", error);
        let Given { task, lease, grant } = decode_copied(given).map_err(unreadable)?;
        let args = body.slice(..args.len()).expect("it begins where the body does");
        let cancellation = Arc::<Cancellation>::default();
        worker.running.lock().unwrap_or_else(PoisonError::into_inner).insert(header.call, cancellation.clone());
        let given = Arc::new(Assigned {
            task: Some(entry.name),
            task_id: Some(task),
            attempt: header.attempt,
            actor: None,
            lease,
            grant,
            cancellation,
        });
        Ok(Self { worker, header, entry, args, given })
    }
}

impl Function<()> for Call {
    type Outcome = Unwatched;
    const NAME: &'static str = "isolated task";

    fn call(self, (): ()) -> Unwatched {
        let Self { worker, header, entry, args, given } = self;
        let run = || match entry.run {
            Some(run) => assigned(&given, || run(&args, header.attempt)),
            None => Answer::Failed { error: Error::unregistered(), retryable: false },
        };
        // The task's own panics are caught within; these are of how its values are encoded.
        let answer = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Answer::Failed {
            error: Error::panicked(entry.name, header.attempt, &*payload),
            retryable: false,
        });
        drop(args);
        worker.answer(header.call, answer);
        Unwatched
    }
}
