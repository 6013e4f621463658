//! The fake's functions.

use super::super::verbs::{Verbs, abi::*};
use super::objects::*;
use super::{CURRENT, Fabric, State};
use std::collections::VecDeque;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex};

/// The table of the fake.
pub fn verbs() -> Verbs {
    Verbs {
        get_device_list,
        free_device_list,
        get_device_name,
        open_device,
        close_device,
        query_device,
        query_port,
        query_gid_table,
        alloc_pd,
        dealloc_pd,
        reg_mr,
        dereg_mr,
        create_comp_channel,
        destroy_comp_channel,
        create_cq,
        destroy_cq,
        get_cq_event,
        ack_cq_events,
        create_qp,
        modify_qp,
        destroy_qp,
        wc_status_str,
        reg_dmabuf_mr: Some(reg_dmabuf_mr),
    }
}

fn give<T, U>(value: T) -> *mut U {
    Box::into_raw(Box::new(value)).cast()
}

/// # Safety
/// It was made by `give`, and ends with this.
unsafe fn take_back<T, U>(pointer: *mut U) -> T {
    // SAFETY: as the caller says.
    *unsafe { Box::from_raw(pointer.cast::<T>()) }
}

fn set_errno(code: c_int) {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = code };
}

/// Looks whether a call is to fail, counts the object that it makes, and makes it.
fn make<T>(fabric: &Fabric, call: &'static str, kind: &'static str, make: impl FnOnce(&mut State) -> *mut T) -> *mut T {
    let mut state = fabric.state();
    if let Some(code) = state.failure(call) {
        set_errno(code);
        return null_mut();
    }
    state.count(kind);
    make(&mut state)
}

fn of(context: *mut ibv_context) -> &'static FakeContext {
    // SAFETY: whoever calls has a context of ours that is open.
    unsafe { &*context.cast::<FakeContext>() }
}

unsafe extern "C" fn get_device_list(count: *mut c_int) -> *mut *mut ibv_device {
    let Some(fabric) = CURRENT.with(|current| current.borrow().clone()) else {
        set_errno(libc::ENOSYS);
        return null_mut();
    };
    if let Some(code) = fabric.state().failure("ibv_get_device_list") {
        set_errno(code);
        return null_mut();
    }
    let device = |(card, spec): (usize, &super::Card)| {
        give(FakeDevice { name: CString::new(spec.name.clone()).unwrap(), fabric: fabric.clone(), card })
    };
    let mut list: Vec<*mut ibv_device> = fabric.cards.iter().enumerate().map(device).collect();
    // SAFETY: the caller's.
    unsafe { *count = list.len() as c_int };
    list.push(null_mut());
    Box::into_raw(list.into_boxed_slice()).cast()
}

unsafe extern "C" fn free_device_list(list: *mut *mut ibv_device) {
    let mut at = list;
    // SAFETY: made above, and ended by null.
    unsafe {
        while !(*at).is_null() {
            drop(take_back::<FakeDevice, _>(*at));
            at = at.add(1);
        }
        let count = at.offset_from(list) as usize + 1;
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(list, count)));
    }
}

unsafe extern "C" fn get_device_name(device: *mut ibv_device) -> *const c_char {
    // SAFETY: of the list.
    unsafe { (*device.cast::<FakeDevice>()).name.as_ptr() }
}

unsafe extern "C" fn open_device(device: *mut ibv_device) -> *mut ibv_context {
    // SAFETY: of the list.
    let device = unsafe { &*device.cast::<FakeDevice>() };
    let (fabric, card) = (device.fabric.clone(), device.card);
    let header = ibv_context {
        device: null_mut(),
        ops_before_poll_cq: [std::ptr::null(); 11],
        poll_cq,
        req_notify_cq,
        ops_before_post_send: [std::ptr::null(); 12],
        post_send,
        post_recv,
        ops_after_post_recv: [std::ptr::null(); 5],
        cmd_fd: -1,
        async_fd: -1,
        num_comp_vectors: 1,
    };
    make(&device.fabric, "ibv_open_device", "context", |_| give(FakeContext { header, fabric, card }))
}

unsafe extern "C" fn close_device(context: *mut ibv_context) -> c_int {
    // SAFETY: given by `open_device`.
    let context: FakeContext = unsafe { take_back(context) };
    let mut state = context.fabric.state();
    state.uncount("context");
    0
}

unsafe extern "C" fn query_device(context: *mut ibv_context, to: *mut ibv_device_attr) -> c_int {
    let attributes = ibv_device_attr {
        phys_port_cnt: 1,
        max_qp_rd_atom: 16,
        max_qp_init_rd_atom: 16,
        max_cqe: 1 << 16,
        ..ibv_device_attr::default()
    };
    // SAFETY: the caller's.
    unsafe { *to = attributes };
    of(context).fabric.state().failure("ibv_query_device").unwrap_or(0)
}

unsafe extern "C" fn query_port(context: *mut ibv_context, _port: u8, to: *mut ibv_port_attr) -> c_int {
    let card = &of(context).fabric.cards[of(context).card];
    let link = if card.is_infiniband { IBV_LINK_LAYER_INFINIBAND } else { IBV_LINK_LAYER_ETHERNET };
    let attributes = ibv_port_attr {
        state: if card.is_active { IBV_PORT_ACTIVE } else { 1 },
        active_mtu: 5,
        max_msg_sz: card.message_bytes_max,
        link_layer: link as u8,
        lid: of(context).card as u16 + 1,
        ..ibv_port_attr::default()
    };
    // SAFETY: the caller's.
    unsafe { *to = attributes };
    of(context).fabric.state().failure("ibv_query_port").unwrap_or(0)
}

unsafe extern "C" fn query_gid_table(
    context: *mut ibv_context,
    to: *mut ibv_gid_entry,
    _room: usize,
    _flags: u32,
    _size: usize,
) -> isize {
    let card = &of(context).fabric.cards[of(context).card];
    let kind = if card.is_infiniband { IBV_GID_TYPE_IB } else { IBV_GID_TYPE_ROCE_V2 };
    let gid = ibv_gid { raw: card.address };
    // SAFETY: there is room for one.
    unsafe { *to = ibv_gid_entry { gid, gid_index: 0, port_num: 1, gid_type: kind, ndev_ifindex: 0 } };
    match of(context).fabric.state().failure("ibv_query_gid_table") {
        Some(code) => -(code as isize),
        None => 1,
    }
}

unsafe extern "C" fn alloc_pd(context: *mut ibv_context) -> *mut ibv_pd {
    make(&of(context).fabric, "ibv_alloc_pd", "domain", |_| give(FakeDomain { context }))
}

unsafe extern "C" fn dealloc_pd(domain: *mut ibv_pd) -> c_int {
    // SAFETY: given by `alloc_pd`.
    let domain: FakeDomain = unsafe { take_back(domain) };
    of(domain.context).fabric.state().uncount("domain");
    0
}

fn register(domain: *mut ibv_pd, call: &'static str, memory: Memory) -> *mut ibv_mr {
    // SAFETY: given by `alloc_pd`.
    let context = unsafe { (*domain.cast::<FakeDomain>()).context };
    make(&of(context).fabric, call, "memory", |state| {
        let key = state.fresh();
        state.memories.insert(key, memory);
        let (addr, length) = (memory.address as *mut c_void, memory.len as usize);
        give(ibv_mr { context, pd: domain, addr, length, handle: key, lkey: key, rkey: key })
    })
}

unsafe extern "C" fn reg_mr(domain: *mut ibv_pd, at: *mut c_void, len: usize, access: c_int) -> *mut ibv_mr {
    let memory = Memory { address: at as u64, len: len as u64, access: access as u32, place: Place::Host };
    register(domain, "ibv_reg_mr", memory)
}

unsafe extern "C" fn reg_dmabuf_mr(
    domain: *mut ibv_pd,
    offset: u64,
    len: usize,
    address: u64,
    descriptor: c_int,
    access: c_int,
) -> *mut ibv_mr {
    assert_eq!(offset, address, "the fake's devices begin at address 0");
    let memory = Memory { address, len: len as u64, access: access as u32, place: Place::Device(descriptor) };
    register(domain, "ibv_reg_dmabuf_mr", memory)
}

unsafe extern "C" fn dereg_mr(registered: *mut ibv_mr) -> c_int {
    // SAFETY: given by `register`.
    let registered: ibv_mr = unsafe { take_back(registered) };
    let mut state = of(registered.context).fabric.state();
    state.memories.remove(&registered.rkey).expect("registered");
    state.uncount("memory");
    0
}

unsafe extern "C" fn create_comp_channel(context: *mut ibv_context) -> *mut ibv_comp_channel {
    make(&of(context).fabric, "ibv_create_comp_channel", "channel", |_| give(FakeChannel::new(context)))
}

unsafe extern "C" fn destroy_comp_channel(channel: *mut ibv_comp_channel) -> c_int {
    // SAFETY: given by `create_comp_channel`.
    let channel: FakeChannel = unsafe { take_back(channel) };
    of(channel.header.context).fabric.state().uncount("channel");
    0
}

unsafe extern "C" fn create_cq(
    context: *mut ibv_context,
    _entries: c_int,
    _ours: *mut c_void,
    channel: *mut ibv_comp_channel,
    _vector: c_int,
) -> *mut ibv_cq {
    let header = ibv_cq { context };
    make(&of(context).fabric, "ibv_create_cq", "queue", |_| {
        give(FakeQueue { header, channel: channel.cast(), inner: Mutex::new(Inner::default()) })
    })
}

unsafe extern "C" fn destroy_cq(raw: *mut ibv_cq) -> c_int {
    // SAFETY: given by `create_cq`.
    let queue: FakeQueue = unsafe { take_back(raw) };
    // SAFETY: its channel ends after it.
    unsafe { &*queue.channel }.events.lock().unwrap().retain(|event| *event != raw);
    let inner = queue.inner.into_inner().unwrap();
    assert_eq!(inner.events, 0, "all events that were taken are acknowledged: this would wait for ever");
    of(queue.header.context).fabric.state().uncount("queue");
    0
}

unsafe extern "C" fn get_cq_event(
    channel: *mut ibv_comp_channel,
    queue: *mut *mut ibv_cq,
    _ours: *mut *mut c_void,
) -> c_int {
    // SAFETY: given by `create_comp_channel`.
    let channel = unsafe { &*channel.cast::<FakeChannel>() };
    let mut events = channel.events.lock().unwrap();
    let Some(event) = events.pop_front() else {
        set_errno(libc::EAGAIN);
        return -1;
    };
    if events.is_empty() {
        rustix::io::read(&channel.descriptor, &mut [0; 8]).unwrap();
    }
    // SAFETY: given by `create_cq`; the queue pointer is the caller's.
    unsafe {
        (*event.cast::<FakeQueue>()).inner.lock().unwrap().events += 1;
        *queue = event;
    }
    0
}

unsafe extern "C" fn ack_cq_events(queue: *mut ibv_cq, count: c_uint) {
    // SAFETY: given by `create_cq`.
    unsafe { &*queue.cast::<FakeQueue>() }.inner.lock().unwrap().events -= count;
}

unsafe extern "C" fn poll_cq(queue: *mut ibv_cq, room: c_int, to: *mut ibv_wc) -> c_int {
    // SAFETY: given by `create_cq`.
    let mut inner = unsafe { &*queue.cast::<FakeQueue>() }.inner.lock().unwrap();
    let count = inner.found.len().min(room as usize);
    for (at, completion) in inner.found.drain(..count).enumerate() {
        // SAFETY: there is room.
        unsafe { *to.add(at) = completion };
    }
    count as c_int
}

unsafe extern "C" fn req_notify_cq(queue: *mut ibv_cq, _solicited: c_int) -> c_int {
    // SAFETY: given by `create_cq`.
    unsafe { &*queue.cast::<FakeQueue>() }.inner.lock().unwrap().is_armed = true;
    0
}

unsafe extern "C" fn create_qp(domain: *mut ibv_pd, wanted: *mut ibv_qp_init_attr) -> *mut ibv_qp {
    // SAFETY: given by `alloc_pd`; the caller's.
    let (context, wanted) = unsafe { ((*domain.cast::<FakeDomain>()).context, &*wanted) };
    make(&of(context).fabric, "ibv_create_qp", "pair", |state| {
        let number = state.fresh();
        let pair = QueuePair {
            card: of(context).card,
            send_queue: wanted.send_cq,
            receive_queue: wanted.recv_cq,
            peer: None,
            is_dead: false,
            receives: VecDeque::new(),
        };
        state.pairs.insert(number, pair);
        give(ibv_qp {
            context,
            qp_context: null_mut(),
            pd: domain,
            send_cq: wanted.send_cq,
            recv_cq: wanted.recv_cq,
            srq: null_mut(),
            handle: 0,
            qp_num: number,
        })
    })
}

fn state_of(pair: *mut ibv_qp) -> (Arc<Fabric>, u32) {
    // SAFETY: given by `create_qp`.
    unsafe { (of((*pair).context).fabric.clone(), (*pair).qp_num) }
}

unsafe extern "C" fn modify_qp(pair: *mut ibv_qp, to: *mut ibv_qp_attr, mask: c_int) -> c_int {
    let (fabric, number) = state_of(pair);
    let mut state = fabric.state();
    if let Some(code) = state.failure("ibv_modify_qp") {
        return code;
    }
    if mask as c_uint & IBV_QP_DEST_QPN != 0 {
        // SAFETY: the caller's.
        state.pairs.get_mut(&number).unwrap().peer = Some(unsafe { (*to).dest_qp_num });
    }
    0
}

unsafe extern "C" fn destroy_qp(pair: *mut ibv_qp) -> c_int {
    let (fabric, number) = state_of(pair);
    // SAFETY: given by `create_qp`.
    let _: ibv_qp = unsafe { take_back(pair) };
    let mut state = fabric.state();
    state.pairs.remove(&number);
    state.uncount("pair");
    0
}

unsafe extern "C" fn post_send(pair: *mut ibv_qp, request: *mut ibv_send_wr, _refused: *mut *mut ibv_send_wr) -> c_int {
    let (fabric, number) = state_of(pair);
    // SAFETY: the caller's.
    let request = unsafe { &*request };
    // SAFETY: as above.
    let local = unsafe { std::slice::from_raw_parts(request.sg_list, request.num_sge as usize) }.to_vec();
    let mut state = fabric.state();
    if let Some(code) = state.failure("ibv_post_send") {
        return code;
    }
    let kept = Kept {
        number,
        id: request.wr_id,
        opcode: request.opcode,
        word: request.imm_data,
        remote: (request.remote_addr, request.rkey),
        local,
    };
    if state.is_frozen {
        state.frozen.push(kept)
    } else {
        kept.carry_out(&mut state)
    }
    0
}

unsafe extern "C" fn post_recv(pair: *mut ibv_qp, request: *mut ibv_recv_wr, _refused: *mut *mut ibv_recv_wr) -> c_int {
    let (fabric, number) = state_of(pair);
    // SAFETY: the caller's.
    let id = unsafe { (*request).wr_id };
    let mut state = fabric.state();
    state.pairs.get_mut(&number).unwrap().receives.push_back(id);
    for kept in std::mem::take(&mut state.unready) {
        kept.carry_out(&mut state);
    }
    0
}

unsafe extern "C" fn wc_status_str(_status: c_uint) -> *const c_char {
    c"as the fake was told".as_ptr()
}
