//! What statuses mean.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_void};

use super::call::status;
use super::ffi::{In, Out};
use crate::fault::{Fault, Status};

thread_local! {
    /// What the last string that this thread asked for points to.
    static LAST: RefCell<CString> = RefCell::default();
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(code: c_int, name: Out<*const c_char>) -> c_int {
    status(|_| name.set(known(code)?.name().as_ptr()))
}

/// Says why a call last answered this, where a real driver says the same of every call.
#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(code: c_int, text: Out<*const c_char>) -> c_int {
    status(|driver| {
        let reason = driver.reason(code).unwrap_or_else(|| format!("status {code}"));
        let reason = CString::new(reason.replace('\0', " ")).expect("zeros were replaced");
        LAST.with_borrow_mut(|last| {
            *last = reason;
            text.set(last.as_ptr())
        })
    })
}

/// NVRTC 13 asks for private tables, whose first word is their size, and can't do without.
#[unsafe(no_mangle)]
extern "C" fn cuGetExportTable(table: Out<*const u64>, _id: In<c_void>) -> c_int {
    static EMPTY: [u64; 2] = [8, 0];
    status(|_| table.set(EMPTY.as_ptr()))
}

fn known(code: c_int) -> Result<Status, Fault> {
    let found = Status::ALL.into_iter().find(|status| *status as c_int == code);
    found.ok_or_else(|| Fault::new(Status::InvalidValue, format!("status {code}")))
}
