//! What is tried.

use crate::holder::{HOLDER, Holder, MIB, options, pattern};

use rayline_transport::rdma::{Options, Rdma, Route};
use rayline_transport::{
    Access, Extent, Memfd, PeerId, Regions, Registration, RemoteSpan, Transport, TransportError, read_blocking,
};

pub const ALL: &[(&str, fn())] = &[("objects_of_all_sizes_arrive_whole", objects_of_all_sizes_arrive_whole)];

const PEER: PeerId = PeerId(HOLDER);
const READER: &[&str] = &["rxe0"];
const OTHER: &[&str] = &["rxe1"];

fn pair(reader: &[&str], other: &[&str]) -> (Rdma, Holder) {
    pair_with(options(1, reader), Holder::start(1, other))
}

fn pair_with(options: Options, holder: Holder) -> (Rdma, Holder) {
    let (reader, events) = Rdma::bind(options, Regions::new()).unwrap();
    // Nobody sends frames here.
    drop(events);
    for (index, address) in holder.addresses.iter().enumerate() {
        reader.introduce(PeerId(HOLDER + index as u128), *address);
    }
    (reader, holder)
}

fn land(reader: &Rdma, bytes: usize) -> (Registration, Extent) {
    let registration = reader.regions().register(Memfd::new(bytes).unwrap(), Access::Land);
    let extent = registration.land(0, bytes as u64).unwrap();
    (registration, extent)
}

fn read(reader: &Rdma, peer: PeerId, span: RemoteSpan) -> Result<Vec<u8>, TransportError> {
    let (_registration, extent) = land(reader, span.len as usize);
    read_blocking(reader, peer, span, &extent)?;
    Ok(extent.to_vec().expect("a read that ended well is complete"))
}

fn objects_of_all_sizes_arrive_whole() {
    let (reader, mut holder) = pair(READER, OTHER);
    for bytes in [1, 4097, MIB - 1, MIB, MIB + 1, 9 * MIB + 5] {
        let span = holder.span(&format!("publish 0 {bytes} {bytes}"));
        assert!(read(&reader, PEER, span).unwrap() == pattern(bytes, bytes), "{bytes} bytes differ");
    }
    assert!(matches!(reader.route(PEER), Route::Rdma { rails: 1 }), "{}", reader.route(PEER));
}
