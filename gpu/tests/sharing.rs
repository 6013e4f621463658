//! Memory that other processes reach.
#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use common::{Bench, is_process, passes_in_process};
use rayline_gpu::{GpuError, IpcHandle};

#[test]
fn another_process_reads_and_writes_it() {
    const NAME: &str = "another_process_reads_and_writes_it";
    let Bench { stream, lease, .. } = Bench::new();
    if is_process(NAME) {
        let handle = IpcHandle::from_bytes(&from_hex(&std::env::var("HANDLE").unwrap())).unwrap();
        // SAFETY: the parent waits for this process, and keeps the buffer.
        let mut shared = unsafe { handle.open::<u32>(&stream) }.unwrap();
        let values = stream.to_vec(&shared).unwrap();
        assert_eq!(values, [1, 2, 3]);
        let doubled: Vec<u32> = values.iter().map(|value| value * 2).collect();
        return stream.upload(&doubled, &mut shared).unwrap();
    }
    let mut buffer = lease.allocate_shareable(&stream, 3).unwrap();
    stream.upload(&[1u32, 2, 3], &mut buffer).unwrap();
    let handle = buffer.ipc_handle().unwrap();
    passes_in_process(NAME, &[("HANDLE", &to_hex(&handle.to_bytes()))]);
    assert_eq!(stream.to_vec(&buffer).unwrap(), [2, 4, 6]);
    assert_eq!(lease.used_bytes(), 12);
    drop(buffer);
    assert_eq!(lease.used_bytes(), 0);
}

#[test]
fn what_is_not_shareable_is_refused() {
    let Bench { stream, lease, .. } = Bench::new();
    let pooled = lease.zeros::<u32>(&stream, 3).unwrap();
    assert!(matches!(pooled.ipc_handle(), Err(GpuError::NotShareable)));
    assert!(matches!(pooled.export_dmabuf(), Err(GpuError::NotShareable)));
    assert!(matches!(IpcHandle::from_bytes(&[0; 71]), Err(GpuError::BadHandle { len: 71 })));
    let handle = lease.allocate_shareable::<u8>(&stream, 3).unwrap().ipc_handle().unwrap();
    // SAFETY: it is refused.
    let own = unsafe { handle.open::<u8>(&stream) };
    assert!(matches!(own, Err(GpuError::Driver { code: 201, .. })), "a process doesn't open its own: {own:?}");
    // SAFETY: as above.
    let odd = unsafe { handle.open::<u16>(&stream) };
    assert!(matches!(odd, Err(GpuError::Length { expected: 2, found: 3, .. })), "{odd:?}");
}

/// The fake driver's descriptor is a file of the same bytes, which can be read.
#[test]
fn an_exported_descriptor_has_the_bytes() {
    use std::io::Read;

    let Bench { stream, lease, .. } = Bench::new();
    let mut buffer = lease.allocate_shareable(&stream, 4096).unwrap();
    stream.upload(&[7u8; 4096], &mut buffer).unwrap();
    let mut file = std::fs::File::from(buffer.export_dmabuf().unwrap());
    drop(buffer);
    let mut bytes = [0u8; 4096];
    file.read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    let part = lease.allocate_shareable::<u8>(&stream, 4095).unwrap().export_dmabuf();
    assert!(matches!(part, Err(GpuError::Driver { code: 1, .. })), "{part:?}");
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
