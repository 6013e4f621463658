//! Objects on disk, while there is no room for them in memory.

use super::error::StoreError;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What the folders of stores begin with, in the folders that the user names.
const PREFIX: &str = "rayline-store-";
/// The file in such a folder that a living store has locked.
const LOCK: &str = "lock";

/// The files of one store: one for each object, in a folder of its own in each of the user's folders. They are of no
/// use to any later store, so the next one that finds their folder unlocked takes it away.
#[derive(Debug)]
pub(crate) struct Spill {
    folders: Vec<Folder>,
    /// What a disk keeps free, in bytes.
    spare_bytes: u64,
    /// Of slot and generation.
    files: HashMap<(u32, u64), PathBuf>,
}

/// A folder, and the lock by which others see that its store lives.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Spill {
    /// A folder in each of `places`, in which what dead stores left is taken away.
    pub(crate) fn open(places: &[PathBuf], nonce: u64, spare_bytes: u64) -> io::Result<Self> {
        let folders = places.iter().map(|place| Folder::open(place, nonce)).collect::<io::Result<_>>()?;
        Ok(Self { folders, spare_bytes, files: HashMap::new() })
    }

    /// Whether there is anywhere to spill to.
    pub(crate) fn is_possible(&self) -> bool {
        !self.folders.is_empty()
    }

    /// Writes an object to the first disk that has room, beginning with another one for each slot.
    pub(crate) fn write(&mut self, slot: u32, generation: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let first = slot as usize % self.folders.len().max(1);
        for folder in self.folders[first..].iter().chain(&self.folders[..first]) {
            let path = folder.path.join(format!("{slot}-{generation}"));
            match folder.write(&path, bytes, self.spare_bytes) {
                Ok(true) => {
                    self.files.insert((slot, generation), path);
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::DiskFull { wanted: bytes.len() })
    }

    /// Reads an object, which has as many bytes as `into`.
    pub(crate) fn read(&self, slot: u32, generation: u64, into: &mut [u8]) -> io::Result<()> {
        let path = self.files.get(&(slot, generation)).ok_or(io::ErrorKind::NotFound)?;
        File::open(path)?.read_exact(into)
    }

    /// Takes an object's file away.
    pub(crate) fn remove(&mut self, slot: u32, generation: u64) {
        if let Some(path) = self.files.remove(&(slot, generation)) {
            // One that can't be taken away now goes with the folder.
            let _ = fs::remove_file(path);
        }
    }
}

impl Folder {
    fn open(place: &Path, nonce: u64) -> io::Result<Self> {
        fs::create_dir_all(place)?;
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                sweep(&entry.path())?;
            }
        }
        // It gets its name once it is locked, so that no other store sweeps it in between.
        let making = place.join(format!("making-{nonce:016x}"));
        fs::create_dir(&making)?;
        let lock = File::create(making.join(LOCK))?;
        lock.lock()?;
        let path = place.join(format!("{PREFIX}{nonce:016x}"));
        fs::rename(&making, &path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Reserves, writes, syncs and renames; `false` where there is no room. What is here is worth nothing after a
    /// crash: the sync is for errors that would come to light only later, when the object is gone from memory.
    fn write(&self, path: &Path, bytes: &[u8], spare_bytes: u64) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(&self.path)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < spare_bytes.saturating_add(bytes.len() as u64) {
            return Ok(false);
        }
        let part = path.with_extension("part");
        let written = write_part(&part, bytes).and_then(|()| fs::rename(&part, path));
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                // Where it wasn't even made, there is nothing to take away.
                let _ = fs::remove_file(&part);
                let is_full = matches!(Errno::from_io_error(&error), Some(Errno::NOSPC | Errno::DQUOT));
                if is_full { Ok(false) } else { Err(error) }
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is swept by the next store.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn write_part(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    if !bytes.is_empty() {
        match rustix::fs::fallocate(file.as_fd(), rustix::fs::FallocateFlags::empty(), 0, bytes.len() as u64) {
            // Some file systems can't; there the write finds out.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    file.write_all(bytes)?;
    file.sync_data()
}

/// Takes the folder of a store away, unless it lives.
fn sweep(folder: &Path) -> io::Result<()> {
    let lock = match File::open(folder.join(LOCK)) {
        Ok(lock) => lock,
        // Somebody else sweeps it, or it isn't a store's.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
