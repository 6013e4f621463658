//! A program on its way to the nodes: named by what is in it, read once by each node, and checked before it runs.
//!
//! The descriptor that is checked is the one that is executed, sealed: nobody can put something else in its place.

use rayline_transport::tcp::Tcp;
use rayline_transport::{
    Access, Extent, Memfd, PeerId, Registration, RemoteSpan, Transport, TransportError, read_blocking,
};
use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Programs that a node keeps for the next job.
const KEPT_MAX: usize = 4;
/// Bytes that are copied and hashed at once, while they are in a core's cache.
const COPY_BYTES: usize = 256 << 10;

/// The SHA-256 of a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BinaryId([u8; 32]);

/// A program, and where a node can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it is.
    pub id: BinaryId,
    /// Where its bytes are, at its driver.
    pub span: RemoteSpan,
}

/// The program of this process, for nodes to read as long as this lives.
pub(crate) struct Published {
    binary: Program,
    _extent: Extent,
    _registration: Registration,
}

/// Why a node has no program to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinaryError {
    #[error("the program can't be read from its driver")]
    Transport(#[from] TransportError),
    #[error("the program that came is {came}, and {asked} was to come: its driver's file was changed, or bytes were")]
    Other { came: BinaryId, asked: BinaryId },
    #[error("the program can't be kept in memory")]
    Memory(#[source] io::Error),
}

/// The programs that a node has.
#[derive(Default)]
pub(crate) struct Binaries {
    /// The one that was used last is the last.
    kept: Mutex<Vec<(BinaryId, Arc<OwnedFd>)>>,
}

impl Published {
    /// The program that this process runs.
    ///
    /// # Errors
    /// What the system says: no `/proc`, no memory.
    pub(crate) fn own(tcp: &Tcp) -> io::Result<Self> {
        // The link names the program also after its file was replaced.
        let mut file = File::open("/proc/self/exe")?;
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut memory = Memfd::new(bytes).map_err(io::Error::other)?;
        file.read_exact(memory.bytes_mut())?;
        let id = BinaryId::of(memory.bytes_mut());
        let registration = tcp.regions().register(memory, Access::Read);
        let extent = registration.publish(0, bytes as u64).map_err(io::Error::other)?;
        Ok(Self { binary: Program { id, span: extent.remote() }, _extent: extent, _registration: registration })
    }

    pub(crate) fn binary(&self) -> Program {
        self.binary
    }
}

impl Binaries {
    /// A descriptor of the program, to be executed; read from `driver` where it isn't here.
    ///
    /// # Errors
    /// See [`BinaryError`].
    pub(crate) fn get(&self, tcp: &Tcp, driver: PeerId, binary: &Program) -> Result<Arc<OwnedFd>, BinaryError> {
        if let Some(kept) = self.find(binary.id) {
            return Ok(kept);
        }
        let fetched = Arc::new(fetch(tcp, driver, binary)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((binary.id, fetched.clone()));
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        Ok(fetched)
    }

    fn find(&self, id: BinaryId) -> Option<Arc<OwnedFd>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == id)?;
        let found = kept.remove(at);
        kept.push(found);
        kept.last().map(|(_, file)| file.clone())
    }
}

fn fetch(tcp: &Tcp, driver: PeerId, binary: &Program) -> Result<OwnedFd, BinaryError> {
    let bytes = usize::try_from(binary.span.len).map_err(|error| BinaryError::Memory(io::Error::other(error)))?;
    let memory = Memfd::new(bytes)?;
    let landed = memory.descriptor().try_clone_to_owned().map_err(BinaryError::Memory)?;
    let registration = tcp.regions().register(memory, Access::Land);
    let landing = registration.land(0, binary.span.len)?;
    read_blocking(tcp, driver, binary.span, &landing)?;
    drop((landing, registration));
    let (program, came) = sealed(landed).map_err(BinaryError::Memory)?;
    if came != binary.id {
        return Err(BinaryError::Other { came, asked: binary.id });
    }
    Ok(program)
}

/// The same bytes in a file that nobody can change, and that the system executes; and what they are.
fn sealed(landed: OwnedFd) -> io::Result<(OwnedFd, BinaryId)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut program = File::from(rustix::fs::memfd_create("rayline-program", flags)?);
    let (mut hasher, mut buffer, mut at) = (Sha256::new(), vec![0; COPY_BYTES], 0);
    loop {
        let read = rustix::io::pread(&landed, &mut buffer[..], at)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        program.write_all(&buffer[..read])?;
        at += read as u64;
    }
    rustix::fs::fcntl_add_seals(&program, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok((program.into(), BinaryId(hasher.finalize().into())))
}

impl BinaryId {
    /// That of a program of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for BinaryId {
    /// The first 16 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BinaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayline_transport::Regions;
    use rayline_transport::tcp::{ClusterId, Options, Secret};
    use std::os::fd::AsRawFd;

    fn endpoint(peer: u128) -> Tcp {
        Tcp::bind(Options::loopback(PeerId(peer), ClusterId(1), Secret([1; 32])), Regions::new()).unwrap().0
    }

    #[test]
    fn a_program_arrives_once_as_it_is_and_another_is_refused() {
        let (driver, node) = (endpoint(1), endpoint(2));
        node.introduce(PeerId(1), driver.address());
        let published = Published::own(&driver).unwrap();
        let (binaries, binary) = (Binaries::default(), published.binary());
        let first = binaries.get(&node, PeerId(1), &binary).unwrap();
        let executed = std::fs::read(format!("/proc/self/fd/{}", first.as_raw_fd())).unwrap();
        assert_eq!(BinaryId::of(&executed), binary.id);
        assert!(rustix::io::write(&*first, b"x").is_err(), "it is sealed");
        let again = binaries.get(&node, PeerId(9), &binary).unwrap();
        assert!(Arc::ptr_eq(&first, &again), "it is here already: nobody is asked");
        let lie = Program { id: BinaryId([7; 32]), ..binary };
        let refused = binaries.get(&node, PeerId(1), &lie).unwrap_err();
        assert!(matches!(refused, BinaryError::Other { .. }), "{refused}");
    }
}
