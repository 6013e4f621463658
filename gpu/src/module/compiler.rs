//! NVRTC, the compiler of CUDA as a library, where there is one.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::OnceLock;

use cudarc::nvrtc::sys::{self, nvrtcResult};

use super::KernelSource;
use crate::error::GpuError;

/// The functions that are called: see [`crate::driver`] for why they are looked for first.
const FUNCTIONS: [&str; 8] = [
    "nvrtcCompileProgram",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetPTX",
    "nvrtcGetPTXSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
    "nvrtcVersion",
];

/// The compiler of this process.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    version: [u32; 2],
}

/// A text that is being compiled.
struct Program(sys::nvrtcProgram);

impl Compiler {
    /// Loads the compiler from where the loader looks. The first call of the process decides.
    ///
    /// # Errors
    /// [`GpuError::NoCompiler`] if there is none.
    pub fn find() -> Result<Self, GpuError> {
        static FOUND: OnceLock<Result<Compiler, GpuError>> = OnceLock::new();
        FOUND.get_or_init(Self::load).clone()
    }

    /// Major and minor number.
    pub fn version(&self) -> [u32; 2] {
        self.version
    }

    /// Compiles to PTX for a compute capability.
    ///
    /// # Errors
    /// [`GpuError::Compile`] with what the compiler says.
    pub fn ptx(&self, source: &KernelSource, [major, minor]: [u32; 2]) -> Result<String, GpuError> {
        let program = Program::new(source)?;
        let architecture = format!("--gpu-architecture=compute_{major}{minor}");
        let options = KernelSource::OPTIONS.into_iter().chain([architecture.as_str()]);
        let options: Vec<CString> =
            options.map(|option| CString::new(option).expect("no zero is in these words")).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: a program of this function; the options live through the call.
        let result = unsafe { sys::nvrtcCompileProgram(program.0, pointers.len() as c_int, pointers.as_ptr()) };
        if result != nvrtcResult::NVRTC_SUCCESS {
            let log = program.text(sys::nvrtcGetProgramLogSize, sys::nvrtcGetProgramLog);
            return Err(GpuError::Compile {
                kernel: source.name.into(),
                log: log.unwrap_or_else(|_| format!("{result:?}")),
            });
        }
        program.text(sys::nvrtcGetPTXSize, sys::nvrtcGetPTX)
    }

    fn load() -> Result<Self, GpuError> {
        let missing = |reason: String| GpuError::NoCompiler { reason };
        // SAFETY: tries to load the library by its names, which runs its initializers: it is that which is installed.
        if !unsafe { sys::is_culib_present() } {
            return Err(missing("the library isn't found".into()));
        }
        // SAFETY: it is loaded.
        let library = unsafe { sys::culib() };
        for name in FUNCTIONS {
            // SAFETY: only whether it is there is asked.
            unsafe { library.get::<*const ()>(name.as_bytes()) }.map_err(|_| missing(format!("it lacks `{name}`")))?;
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the function is there, and writes two numbers.
        checked("nvrtcVersion", unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) })?;
        Ok(Self { version: [major, minor].map(i32::unsigned_abs) })
    }
}

impl Program {
    fn new(source: &KernelSource) -> Result<Self, GpuError> {
        let text = CString::new(source.joined()).expect("no zero is in the text of a kernel");
        let name = CString::new(source.name).expect("no zero is in the name of a kernel");
        let mut raw = ptr::null_mut();
        let (text, name, none) = (text.as_ptr(), name.as_ptr(), ptr::null());
        // SAFETY: strings that end with a zero and live through the call, which copies them; no headers.
        let result = unsafe { sys::nvrtcCreateProgram(&raw mut raw, text, name, 0, none, none) };
        checked("nvrtcCreateProgram", result)?;
        Ok(Self(raw))
    }

    /// One of the texts that a program has.
    fn text(
        &self,
        size: unsafe fn(sys::nvrtcProgram, *mut usize) -> nvrtcResult,
        text: unsafe fn(sys::nvrtcProgram, *mut c_char) -> nvrtcResult,
    ) -> Result<String, GpuError> {
        let mut bytes = 0;
        // SAFETY: a program of this value; the compiler writes one number.
        checked("nvrtcGetSize", unsafe { size(self.0, &raw mut bytes) })?;
        let mut buffer = vec![0 as c_char; bytes + 1];
        // SAFETY: the compiler writes as many characters as it said.
        checked("nvrtcGetText", unsafe { text(self.0, buffer.as_mut_ptr()) })?;
        // SAFETY: one more than it writes is a zero.
        Ok(unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_string_lossy().into_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: this value's own, destroyed once.
        unsafe { sys::nvrtcDestroyProgram(&raw mut self.0) };
    }
}

fn checked(call: &str, result: nvrtcResult) -> Result<(), GpuError> {
    if result == nvrtcResult::NVRTC_SUCCESS {
        return Ok(());
    }
    Err(GpuError::NoCompiler { reason: format!("{call}: {result:?}") })
}
