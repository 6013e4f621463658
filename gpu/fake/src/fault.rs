//! What calls answer when they fail.

use std::fmt;

/// The codes of the driver's interface that we answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    Success = 0,
    InvalidValue = 1,
    OutOfMemory = 2,
    NotInitialized = 3,
    NoDevice = 100,
    InvalidDevice = 101,
    InvalidContext = 201,
    InvalidPtx = 218,
    InvalidHandle = 400,
    NotFound = 500,
    NotReady = 600,
    IllegalAddress = 700,
    LaunchOutOfResources = 701,
    LaunchTimeout = 702,
    PeerAccessAlreadyEnabled = 704,
    HostMemoryAlreadyRegistered = 712,
    HostMemoryNotRegistered = 713,
    MisalignedAddress = 716,
    NotSupported = 801,
    CaptureUnsupported = 900,
    CaptureInvalidated = 901,
    IllegalState = 401,
}

/// A status with its reason.
#[derive(Clone, Debug)]
pub struct Fault {
    pub status: Status,
    /// What was wrong, in words.
    pub reason: String,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 22] = [
        Self::Success,
        Self::InvalidValue,
        Self::OutOfMemory,
        Self::NotInitialized,
        Self::NoDevice,
        Self::InvalidDevice,
        Self::InvalidContext,
        Self::InvalidPtx,
        Self::InvalidHandle,
        Self::NotFound,
        Self::NotReady,
        Self::IllegalAddress,
        Self::LaunchOutOfResources,
        Self::LaunchTimeout,
        Self::PeerAccessAlreadyEnabled,
        Self::HostMemoryAlreadyRegistered,
        Self::HostMemoryNotRegistered,
        Self::MisalignedAddress,
        Self::NotSupported,
        Self::CaptureUnsupported,
        Self::CaptureInvalidated,
        Self::IllegalState,
    ];

    /// The name in the driver's interface, with the zero that C wants.
    pub fn name(self) -> &'static std::ffi::CStr {
        match self {
            Self::Success => c"CUDA_SUCCESS",
            Self::InvalidValue => c"CUDA_ERROR_INVALID_VALUE",
            Self::OutOfMemory => c"CUDA_ERROR_OUT_OF_MEMORY",
            Self::NotInitialized => c"CUDA_ERROR_NOT_INITIALIZED",
            Self::NoDevice => c"CUDA_ERROR_NO_DEVICE",
            Self::InvalidDevice => c"CUDA_ERROR_INVALID_DEVICE",
            Self::InvalidContext => c"CUDA_ERROR_INVALID_CONTEXT",
            Self::InvalidPtx => c"CUDA_ERROR_INVALID_PTX",
            Self::InvalidHandle => c"CUDA_ERROR_INVALID_HANDLE",
            Self::NotFound => c"CUDA_ERROR_NOT_FOUND",
            Self::NotReady => c"CUDA_ERROR_NOT_READY",
            Self::IllegalAddress => c"CUDA_ERROR_ILLEGAL_ADDRESS",
            Self::LaunchOutOfResources => c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
            Self::LaunchTimeout => c"CUDA_ERROR_LAUNCH_TIMEOUT",
            Self::PeerAccessAlreadyEnabled => c"CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED",
            Self::HostMemoryAlreadyRegistered => c"CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
            Self::HostMemoryNotRegistered => c"CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
            Self::MisalignedAddress => c"CUDA_ERROR_MISALIGNED_ADDRESS",
            Self::NotSupported => c"CUDA_ERROR_NOT_SUPPORTED",
            Self::CaptureUnsupported => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
            Self::CaptureInvalidated => c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
            Self::IllegalState => c"CUDA_ERROR_ILLEGAL_STATE",
        }
    }
}

impl Fault {
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.name().to_string_lossy(), self.reason)
    }
}
