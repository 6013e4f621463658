//! One Python process and its environments.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::memory::Memory;
use super::spaces::Described;
use super::{Gym, GymError};
use crate::env::{Actions, EnvError, Space};

const SCRIPT: &str = include_str!("worker.py");
/// A traceback or a description of spaces that is longer is none of ours.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// After so many answers in a row that looking for them was too short for, looking is tried in one turn of so many.
const MISSES_MAX: u32 = 3;
const TURNS_TO_TRY: u32 = 16;
/// How long a process has to close its environments when it is no longer needed.
const GRACE: Duration = Duration::from_secs(2);

/// A Python process.
///
/// It ends when its socket closes: at the latest when its driver does.
pub struct Process {
    child: Child,
    socket: UnixStream,
    memory: Memory,
    state: State,
    /// Its environments in the batch.
    envs: Range<usize>,
    id: String,
    timeout: Duration,
    spin: Duration,
    /// Answers in a row that came after `spin`.
    misses: u32,
    turns: u32,
}

/// ```text
/// Idle --a byte sent--> Busy --a byte received--> Idle
///   \                    |
///    +------failure------+--> Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Busy,
    Failed,
}

impl Process {
    /// Starts Python for the environments `envs` of a batch; call [`Process::finish_start`] then.
    pub fn start(gym: &Gym, envs: Range<usize>) -> Result<Self, GymError> {
        let (socket, theirs) = UnixStream::pair().map_err(GymError::io("making a socket"))?;
        socket.set_nonblocking(true).map_err(GymError::io("setting up a socket"))?;
        let memory = Memory::new()?;
        let inherited = memory.file().try_clone().map_err(GymError::io("sharing memory"))?;
        let spin_us = gym.spin.as_micros() as u64;
        let settings = json!({
            "id": gym.id, "kwargs": gym.kwargs, "modules": gym.modules, "paths": gym.paths,
            "count": envs.len(), "spin_us": spin_us,
        });
        let mut command = Command::new(&gym.python);
        command.arg("-c").arg(SCRIPT).arg(settings.to_string());
        if let Some(folder) = &gym.current_dir {
            command.current_dir(folder);
        }
        // The command, and with it our copy of the other end, is gone when this returns: the end of the process is
        // seen.
        command.stdin(Stdio::from(inherited)).stdout(Stdio::from(OwnedFd::from(theirs)));
        let no_python = |source| GymError::NoPython { python: gym.python.clone(), source };
        let child = command.spawn().map_err(no_python)?;
        let (id, timeout, spin) = (gym.id.clone(), gym.timeout, gym.spin);
        Ok(Self { child, socket, memory, state: State::Busy, envs, id, timeout, spin, misses: 0, turns: 0 })
    }

    /// Waits until the environments are made, tells the process where its arrays lie, and returns the spaces of
    /// observations and actions.
    pub fn finish_start(&mut self) -> Result<(Space, Space), EnvError> {
        self.expect(b'h')?;
        let hello = self.read_text().map_err(|_| self.died())?;
        let unclear = |error: serde_json::Error| GymError::Spaces { id: self.id.clone(), reason: error.to_string() };
        let described: Described = serde_json::from_str(&hello).map_err(unclear)?;
        let (observation_space, action_space) = (described.obs.space()?, described.act.space()?);
        self.memory.allot(self.envs.len(), &observation_space, &action_space)?;
        let layout = self.memory.layout();
        let frame = [&(layout.len() as u32).to_le_bytes(), layout.as_bytes()].concat();
        if self.socket.write_all(&frame).is_err() || self.socket.set_nonblocking(true).is_err() {
            return Err(self.died().into());
        }
        self.state = State::Idle;
        Ok((observation_space, action_space))
    }

    /// Its environments in the batch.
    pub fn envs(&self) -> Range<usize> {
        self.envs.clone()
    }

    pub fn is_busy(&self) -> bool {
        self.state == State::Busy
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    pub fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    pub fn send_actions(&mut self, actions: Actions<'_>) -> Result<(), GymError> {
        self.turn(b's', |memory| memory.write_actions(actions))
    }

    pub fn send_seeds(&mut self, seeds: &[u64]) -> Result<(), GymError> {
        self.turn(b'r', |memory| memory.write_seeds(seeds))
    }

    /// Restarts the environment at place `env` of this process.
    pub fn send_restart(&mut self, env: usize) -> Result<(), GymError> {
        self.turn(b'o', |memory| memory.write_index(env))
    }

    /// Waits for the answer to what was sent.
    pub fn wait(&mut self) -> Result<(), GymError> {
        self.expect(b'k')?;
        self.state = State::Idle;
        Ok(())
    }

    /// Waits for what was sent, whatever comes of it, so that the process can be asked anew.
    pub fn drain(&mut self) {
        if self.is_busy() {
            // Its error belongs to what nobody waits for; the next call says that the process has failed.
            let _ = self.wait();
        }
    }

    /// The socket, to be waited for together with others.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    fn turn(&mut self, command: u8, write: impl FnOnce(&mut Memory) -> Result<(), GymError>) -> Result<(), GymError> {
        match self.state {
            State::Idle => {}
            State::Busy => unreachable!("asked only when idle"),
            State::Failed => return Err(GymError::Failed { id: self.id.clone() }),
        }
        write(&mut self.memory)?;
        if self.socket.write_all(&[command]).is_err() {
            return Err(self.died());
        }
        self.state = State::Busy;
        Ok(())
    }

    /// Waits for a byte, and fails if it is another.
    fn expect(&mut self, wanted: u8) -> Result<(), GymError> {
        if self.state == State::Failed {
            return Err(GymError::Failed { id: self.id.clone() });
        }
        let kind = match self.read_byte() {
            Ok(kind) => kind,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                self.kill();
                return Err(GymError::TimedOut { id: self.id.clone(), after: self.timeout });
            }
            Err(_) => return Err(self.died()),
        };
        if kind == wanted {
            return Ok(());
        }
        let text = self.read_text();
        self.state = State::Failed;
        match (kind, text) {
            (b'e', Ok(traceback)) => Err(GymError::Raised { id: self.id.clone(), traceback }),
            (b'g', Ok(reason)) => Err(GymError::NoGymnasium { reason }),
            _ => Err(self.died()),
        }
    }

    /// Looks for a byte while `spin` lasts, then sleeps until one comes. Where the last answers were long in coming, it
    /// looks only now and then.
    fn read_byte(&mut self) -> io::Result<u8> {
        self.turns = self.turns.wrapping_add(1);
        let begin = Instant::now();
        let is_hopeful = self.misses < MISSES_MAX || self.turns.is_multiple_of(TURNS_TO_TRY);
        let spin = if is_hopeful { self.spin } else { Duration::ZERO };
        while begin.elapsed() < spin {
            if let Some(byte) = self.try_read()? {
                self.misses = 0;
                return Ok(byte);
            }
        }
        self.misses = self.misses.saturating_add(1);
        loop {
            let left = self.timeout.checked_sub(begin.elapsed()).ok_or(ErrorKind::TimedOut)?;
            match poll_any([&self.socket], left) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            if let Some(byte) = self.try_read()? {
                return Ok(byte);
            }
        }
    }

    /// A byte, if one is there.
    fn try_read(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match self.socket.read(&mut byte) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(Some(byte[0])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_text(&mut self) -> io::Result<String> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_read_timeout(Some(self.timeout))?;
        let mut len = [0; 4];
        self.socket.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; len];
        self.socket.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Ends what is left of the process, and says how it ended.
    fn died(&mut self) -> GymError {
        // It has closed its socket, and so ends by itself, or never will.
        let status = end(&mut self.child);
        self.state = State::Failed;
        match status {
            Ok(status) => GymError::Died { id: self.id.clone(), status },
            Err(source) => GymError::Io { action: "waiting for a Python process", source },
        }
    }

    fn kill(&mut self) {
        self.state = State::Failed;
        // It may have ended meanwhile; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the socket asks the process to close its environments and end.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if self.state == State::Failed {
            let _ = self.child.kill();
        }
        let _ = end(&mut self.child);
    }
}

/// Waits until a byte has come on one of the sockets, or its process has ended, and returns its place.
pub fn poll_any<'a>(sockets: impl IntoIterator<Item = &'a UnixStream>, timeout: Duration) -> io::Result<usize> {
    let mut fds: Vec<PollFd<'_>> =
        sockets.into_iter().map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)).collect();
    let timeout = Timespec::try_from(timeout).map_err(|_| ErrorKind::InvalidInput)?;
    poll(&mut fds, Some(&timeout))?;
    let ready = fds.iter().position(|fd| !fd.revents().is_empty());
    ready.ok_or_else(|| ErrorKind::TimedOut.into())
}

/// Gives a process time to end by itself, then kills it.
fn end(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    let begin = Instant::now();
    while begin.elapsed() < GRACE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()
}
