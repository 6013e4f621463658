//! The verbs as a table of function pointers.

use super::abi::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

macro_rules! verbs {
    (
        $(#[$about:meta])*
        required { $($name:ident = $symbol:literal: fn($($arg:ty),*) $(-> $result:ty)?;)* }
        optional { $($may:ident = $may_symbol:literal: fn($($may_arg:ty),*) $(-> $may_result:ty)?;)* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct Verbs {
            $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $result)?,)*
            $(pub $may: Option<unsafe extern "C" fn($($may_arg),*) $(-> $may_result)?>,)*
        }

        impl Verbs {
            /// # Safety
            /// `library` is a handle of libibverbs.
            unsafe fn resolve(library: *mut c_void) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the handle is good, and the name a C string.
                        let found = unsafe { libc::dlsym(library, concat!($symbol, "\0").as_ptr().cast()) };
                        if found.is_null() {
                            return Err(concat!("libibverbs.so.1 is too old: it has no ", $symbol).into());
                        }
                        // SAFETY: the type is the one that the header gives this function.
                        unsafe {
                            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) $(-> $result)?>(found)
                        }
                    },)*
                    $($may: {
                        // SAFETY: as above.
                        let found = unsafe { libc::dlsym(library, concat!($may_symbol, "\0").as_ptr().cast()) };
                        (!found.is_null()).then(|| {
                            // SAFETY: as above.
                            unsafe {
                                std::mem::transmute::<
                                    *mut c_void,
                                    unsafe extern "C" fn($($may_arg),*) $(-> $may_result)?,
                                >(found)
                            }
                        })
                    },)*
                })
            }
        }
    };
}

verbs! {
    /// What is called of libibverbs, by function pointers, so that a fake may stand in for a card.
    ///
    /// Posting and polling are not here: they go through the table that each open card has
    /// ([`ibv_context`]), as in C.
    required {
        get_device_list = "ibv_get_device_list": fn(*mut c_int) -> *mut *mut ibv_device;
        free_device_list = "ibv_free_device_list": fn(*mut *mut ibv_device);
        get_device_name = "ibv_get_device_name": fn(*mut ibv_device) -> *const c_char;
        open_device = "ibv_open_device": fn(*mut ibv_device) -> *mut ibv_context;
        close_device = "ibv_close_device": fn(*mut ibv_context) -> c_int;
        query_device = "ibv_query_device": fn(*mut ibv_context, *mut ibv_device_attr) -> c_int;
        query_port = "ibv_query_port": fn(*mut ibv_context, u8, *mut ibv_port_attr) -> c_int;
        query_gid_table = "_ibv_query_gid_table":
            fn(*mut ibv_context, *mut ibv_gid_entry, usize, u32, usize) -> isize;
        alloc_pd = "ibv_alloc_pd": fn(*mut ibv_context) -> *mut ibv_pd;
        dealloc_pd = "ibv_dealloc_pd": fn(*mut ibv_pd) -> c_int;
        reg_mr = "ibv_reg_mr": fn(*mut ibv_pd, *mut c_void, usize, c_int) -> *mut ibv_mr;
        dereg_mr = "ibv_dereg_mr": fn(*mut ibv_mr) -> c_int;
        create_comp_channel = "ibv_create_comp_channel": fn(*mut ibv_context) -> *mut ibv_comp_channel;
        destroy_comp_channel = "ibv_destroy_comp_channel": fn(*mut ibv_comp_channel) -> c_int;
        create_cq = "ibv_create_cq":
            fn(*mut ibv_context, c_int, *mut c_void, *mut ibv_comp_channel, c_int) -> *mut ibv_cq;
        destroy_cq = "ibv_destroy_cq": fn(*mut ibv_cq) -> c_int;
        get_cq_event = "ibv_get_cq_event":
            fn(*mut ibv_comp_channel, *mut *mut ibv_cq, *mut *mut c_void) -> c_int;
        ack_cq_events = "ibv_ack_cq_events": fn(*mut ibv_cq, c_uint);
        create_qp = "ibv_create_qp": fn(*mut ibv_pd, *mut ibv_qp_init_attr) -> *mut ibv_qp;
        modify_qp = "ibv_modify_qp": fn(*mut ibv_qp, *mut ibv_qp_attr, c_int) -> c_int;
        destroy_qp = "ibv_destroy_qp": fn(*mut ibv_qp) -> c_int;
        wc_status_str = "ibv_wc_status_str": fn(c_uint) -> *const c_char;
    }
    optional {
        reg_dmabuf_mr = "ibv_reg_dmabuf_mr": fn(*mut ibv_pd, u64, usize, u64, c_int, c_int) -> *mut ibv_mr;
    }
}

impl Verbs {
    /// Those of this machine's libibverbs, which is loaded by the first call and stays so.
    ///
    /// # Errors
    /// Why it can't be loaded, in words.
    pub fn load() -> Result<&'static Self, &'static str> {
        static LOADED: OnceLock<Result<Verbs, String>> = OnceLock::new();
        LOADED.get_or_init(open).as_ref().map_err(String::as_str)
    }

    /// What a completion's status is called.
    pub fn status_name(&self, status: c_uint) -> String {
        // SAFETY: it answers every number with a string that lives for ever.
        unsafe { CStr::from_ptr((self.wc_status_str)(status)) }.to_string_lossy().into_owned()
    }
}

fn open() -> Result<Verbs, String> {
    // SAFETY: its initializers ask nothing of us.
    let library = unsafe { libc::dlopen(c"libibverbs.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        // SAFETY: after a failure it is a string, which stays until the next call of this thread.
        let why = unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned();
        return Err(format!("{why}: install rdma-core's libibverbs1 and ibverbs-providers"));
    }
    // SAFETY: opened above; nobody closes it.
    unsafe { Verbs::resolve(library) }
}
