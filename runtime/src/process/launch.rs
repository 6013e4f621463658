//! Starting a worker process, and seeing it end.

use super::lane::{End, Lane};
use super::node_reader::Posting;
use super::output::{self, LastLines};
use super::ring_end::RingEnd;
use super::values::Values;
use super::wire::Outlet;
use super::worker::Hello;
use super::{RING, role};
use crate::refs::ProcessId;
use crate::runtime;
use rayline_transport::ring::{self, Closer, Pair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes of each direction's ring; longer messages go in pieces.
const RING_BYTES: usize = 1 << 20;
/// How long the end of a process waits for its last lines. A child of its own may hold the pipe for ever.
const LAST_LINES_WAIT: Duration = Duration::from_millis(200);

/// A worker process and its lane.
pub(super) struct Worker {
    /// Which of the fleet's processes it is.
    pub(super) number: u64,
    pub(super) pid: u32,
    pub(super) lane: Arc<Lane>,
    /// Ends after the process, and after its last answer was handed out.
    pub(super) attendant: JoinHandle<()>,
}

/// Starts a worker of this program. It lives no longer than the calling thread.
///
/// # Errors
/// What the system says: too many processes, no memory, no `/proc`.
pub(super) fn launch(hello: &Hello, number: u64, values: &Arc<Values>) -> io::Result<Worker> {
    let (Pair { sender, receiver, closer }, file) = Pair::create(RING_BYTES)?;
    let (reader, writer) = io::pipe()?;
    // The link names the program also after its file was replaced.
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    role::assign_worker(&mut command);
    // A worker on a node has one of its own.
    command.env_remove(Posting::VARIABLE);
    ring::inherit(&mut command, RING, file);
    values.pass(&mut command);
    let child = command.spawn()?;
    drop(command);
    let pid = child.id();

    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let end = End::Ring(Box::new(RingEnd::new(receiver, closer.clone(), process)));
    let process = ProcessId::fresh()?;
    let lane = Lane::new((process, runtime::node(), number), (Outlet::ring(sender), end), values.clone());
    lane.greet(&Hello { number, process, ..hello.clone() });
    let attended = lane.clone();
    let end = watch(child, reader, closer)?;
    let attend = move || attended.attend(|| end.recv().unwrap_or_else(|_| "is gone".into()));
    // The end of the process ends the ring, and so the attendant.
    let attendant = thread::Builder::new().name("rayline-lane".into()).spawn(attend)?;
    Ok(Worker { number, pid, lane, attendant })
}

/// Waits for the process's end on a thread, then closes its ring; gives what is to be said of the end.
fn watch(mut child: Child, written: io::PipeReader, closer: Closer) -> io::Result<Receiver<String>> {
    let (last, pid) = (LastLines::default(), child.id());
    let ((tell, told), (all_read, read)) = (channel(), channel::<()>());
    let lines = last.clone();
    thread::Builder::new().name("rayline-output".into()).spawn(move || {
        output::forward(written, &lines, |_| {}, |line| output::say(format_args!("pid {pid}"), &line));
        drop(all_read);
    })?;
    thread::Builder::new().name("rayline-reaper".into()).spawn(move || {
        let status = child.wait();
        closer.close();
        // An error says that all was read.
        let _ = read.recv_timeout(LAST_LINES_WAIT);
        let how = status.map_or_else(|error| format!("is lost: {error}"), |status| ended(&pid.to_string(), status));
        let _ = tell.send(how + &last.told());
    })?;
    Ok(told)
}

/// How a process ended, in words that follow "its worker process".
pub(crate) fn ended(process: &str, status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("{process} was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("{process} exited with code {code}"),
        (None, None) => format!("{process} ended"),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL, an instruction that this CPU lacks)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL: by hand, or because memory ran out)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
