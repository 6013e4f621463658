//! A card that is open.

use super::super::verbs::{Verbs, abi::*};
use super::error::{CardError, done, made};
use super::gid::LinkLayer;
use std::ffi::{CStr, c_int};
use std::io;
use std::ptr::NonNull;

/// More addresses than this of one card are not looked at.
const GIDS_MAX: usize = 1024;

/// A card, open until this value ends.
pub struct Context {
    verbs: Verbs,
    raw: NonNull<ibv_context>,
    name: String,
}

// SAFETY: libibverbs lets any thread use a context, several at a time.
unsafe impl Send for Context {}
// SAFETY: as for `Send`.
unsafe impl Sync for Context {}

impl Context {
    /// Opens all cards of the machine, in the order of their names. One that can't be opened is an error of its own.
    ///
    /// # Errors
    /// Where the machine's cards can't be listed.
    pub fn open_all(verbs: Verbs) -> Result<Vec<Result<Self, CardError>>, CardError> {
        let mut count: c_int = 0;
        // SAFETY: the list is freed below, after its last use.
        let list = unsafe { (verbs.get_device_list)(&raw mut count) };
        let list = made(list, "ibv_get_device_list", "-")?;
        let mut named: Vec<(String, *mut ibv_device)> = (0..usize::try_from(count).unwrap_or(0))
            .map(|at| {
                // SAFETY: the list has `count` entries, and each a name.
                unsafe {
                    let device = *list.as_ptr().add(at);
                    (CStr::from_ptr((verbs.get_device_name)(device)).to_string_lossy().into_owned(), device)
                }
            })
            .collect();
        named.sort();
        let opened = named.into_iter().map(|(name, device)| Self::open(verbs, name, device)).collect();
        // SAFETY: given by `ibv_get_device_list`; cards that are open keep what they need.
        unsafe { (verbs.free_device_list)(list.as_ptr()) };
        Ok(opened)
    }

    fn open(verbs: Verbs, name: String, device: *mut ibv_device) -> Result<Self, CardError> {
        // SAFETY: the list that the device is of isn't freed yet.
        let raw = made(unsafe { (verbs.open_device)(device) }, "ibv_open_device", &name)?;
        Ok(Self { verbs, raw, name })
    }

    /// The card's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The functions by which it was opened.
    pub fn verbs(&self) -> &Verbs {
        &self.verbs
    }

    /// What libibverbs knows it by.
    pub fn raw(&self) -> *mut ibv_context {
        self.raw.as_ptr()
    }

    /// What the card can do.
    ///
    /// # Errors
    /// What the card says.
    pub fn query(&self) -> Result<ibv_device_attr, CardError> {
        let mut attributes = ibv_device_attr::default();
        // SAFETY: open, and room for the answer.
        let code = unsafe { (self.verbs.query_device)(self.raw(), &raw mut attributes) };
        done(code, "ibv_query_device", &self.name).map(|()| attributes)
    }

    /// The state of a port; the first is 1.
    ///
    /// # Errors
    /// What the card says.
    pub fn query_port(&self, port: u8) -> Result<ibv_port_attr, CardError> {
        let mut attributes = ibv_port_attr::default();
        // SAFETY: open, and room for the answer, of which older libraries fill all but the last two bytes.
        let code = unsafe { (self.verbs.query_port)(self.raw(), port, &raw mut attributes) };
        done(code, "ibv_query_port", &self.name).map(|()| attributes)
    }

    /// The addresses of all ports.
    ///
    /// # Errors
    /// What the card says.
    pub fn gids(&self) -> Result<Vec<ibv_gid_entry>, CardError> {
        let mut table = vec![ibv_gid_entry::default(); GIDS_MAX];
        let size = size_of::<ibv_gid_entry>();
        // SAFETY: open, and room for so many entries of that size.
        let count = unsafe { (self.verbs.query_gid_table)(self.raw(), table.as_mut_ptr(), table.len(), 0, size) };
        let code = i32::try_from(-count).unwrap_or(libc::EIO);
        let count = usize::try_from(count)
            .map_err(|_| CardError::new("ibv_query_gid_table", &self.name, io::Error::from_raw_os_error(code)))?;
        table.truncate(count);
        Ok(table)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: opened by `open`; whatever is of it has ended, as it keeps the card.
        unsafe { (self.verbs.close_device)(self.raw()) };
    }
}

/// What a port's wire is; none for what isn't used here.
pub fn link_layer(port: &ibv_port_attr) -> Option<LinkLayer> {
    match u32::from(port.link_layer) {
        IBV_LINK_LAYER_INFINIBAND => Some(LinkLayer::InfiniBand),
        IBV_LINK_LAYER_ETHERNET => Some(LinkLayer::Ethernet),
        // What the header calls "unspecified" is InfiniBand of before there was RoCE.
        0 => Some(LinkLayer::InfiniBand),
        _ => None,
    }
}
