//! Modules, compiled once.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::compiler::Compiler;
use super::source::digest;
use super::{Kernel, KernelSource, Module};
use crate::context::Context;
use crate::error::GpuError;

/// Where PTX comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compile {
    /// Compiled for the very device by NVRTC where that can be loaded, and kept in this folder; else that which is shipped.
    IfFound {
        /// Made if it isn't there. Files in it may be deleted at any time.
        folder: PathBuf,
    },
    /// Only that which is shipped.
    Never,
}

/// The modules of a device. A source is compiled once for each kind of device and compiler, whatever the number of
/// processes and runs, and loaded once by each cache.
#[derive(Debug)]
pub struct ModuleCache {
    context: Context,
    compile: Compile,
    loaded: Mutex<HashMap<String, Arc<Module>>>,
}

impl ModuleCache {
    /// An empty cache.
    pub fn new(context: &Context, compile: Compile) -> Self {
        Self { context: context.clone(), compile, loaded: Mutex::default() }
    }

    /// Of which device it is.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A kernel of a source.
    ///
    /// # Errors
    /// [`GpuError::OldDevice`] for a device that kernels aren't made for; [`GpuError::Driver`] if it can't load it, or if
    /// the source has no such kernel. Where compiling fails, or the device can't load what comes of it, that which is shipped
    /// is taken, and the reason logged.
    pub fn kernel(&self, source: &KernelSource, name: &str) -> Result<Kernel, GpuError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let key = source.digest();
        let module = match loaded.get(&key) {
            Some(module) => module.clone(),
            None => {
                let module = self.load(source)?;
                loaded.insert(key, module.clone());
                module
            }
        };
        drop(loaded);
        module.kernel(name)
    }

    fn load(&self, source: &KernelSource) -> Result<Arc<Module>, GpuError> {
        let (needed, found) = (KernelSource::CAPABILITY, self.context.device().capability());
        if found < needed {
            return Err(GpuError::OldDevice { needed, found });
        }
        if let Compile::IfFound { folder } = &self.compile {
            let compiled = Compiler::find().and_then(|compiler| self.compiled(compiler, source, folder));
            // A compiler that is newer than the driver writes what that can't read.
            match compiled.and_then(|ptx| Module::load(&self.context, &ptx)) {
                Ok(module) => return Ok(module),
                Err(error) => tracing::debug!(%error, kernel = source.name, "taking the kernel as it is shipped"),
            }
        }
        Module::load(&self.context, source.ptx)
    }

    /// From the folder, or made and put there.
    fn compiled(&self, compiler: Compiler, source: &KernelSource, folder: &Path) -> Result<String, GpuError> {
        let capability = self.context.device().capability();
        let conditions = format!("{:?} {capability:?} {:?}", compiler.version(), KernelSource::OPTIONS);
        let file = folder.join(format!("{}-{}.ptx", source.name, digest(&[&conditions, &source.joined()])));
        if let Some(ptx) = read(&file) {
            return Ok(ptx);
        }
        let ptx = compiler.ptx(source, capability)?;
        if let Err(error) = write(&file, &ptx) {
            tracing::warn!(%error, file = %file.display(), "a compiled kernel can't be kept");
        }
        Ok(ptx)
    }
}

/// What a file holds, if it is whole: its first line has the hash of the rest.
fn read(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (head, ptx) = text.split_once('\n')?;
    (head == header(ptx)).then(|| ptx.to_string())
}

/// Puts a file there in one step, whoever else does the same: it is written beside and renamed.
fn write(file: &Path, ptx: &str) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = file.with_extension(format!("{}-{count}.tmp", std::process::id()));
    fs::write(&beside, format!("{}\n{ptx}", header(ptx)))?;
    fs::rename(&beside, file).inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn header(ptx: &str) -> String {
    format!("// {}", digest(&[ptx]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_not_when_it_is_cut() {
        let folder = std::env::temp_dir().join(format!("rayline-gpu-cache-{}", std::process::id()));
        let file = folder.join("a.ptx");
        write(&file, ".version 9.0\n.target sm_80\n").unwrap();
        assert_eq!(read(&file).as_deref(), Some(".version 9.0\n.target sm_80\n"));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 4]).unwrap();
        assert_eq!(read(&file), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).unwrap();
    }
}
