//! Everything that has a bound, and what happens there.

use std::time::Duration;

/// The bounds of a transport and of its puller.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one control frame; a larger one is refused, from the peer with the end of the connection.
    pub frame_bytes_max: usize,
    /// Control frames that wait for one peer; beyond it `send` answers `Full`.
    pub frames_queued_max: usize,
    /// Events that wait for whoever receives them; beyond it connections aren't read.
    pub events_queued_max: usize,
    /// Connections for object bytes to one peer; reads beyond it share them.
    pub lanes_per_peer_max: usize,
    /// Connections for object bytes that peers may have to us; beyond it they are refused.
    pub lanes_served_max: usize,
    /// Connections in the handshake at a time; beyond it none is accepted.
    pub handshakes_max: usize,
    /// Reads that one lane has asked for or queued; beyond it `read` answers `Full`.
    pub reads_per_lane_max: usize,
    /// Chunks that one pull has in flight.
    pub chunks_in_flight_max: usize,
    /// Chunks of one read.
    pub chunks_per_read_max: usize,
    /// Bytes in flight from one peer, over all pulls.
    pub peer_bytes_in_flight_max: u64,
    /// Bytes in flight on this node, over all pulls.
    pub node_bytes_in_flight_max: u64,
    /// Bytes of all objects that are being pulled; further pulls wait. One object may always be pulled.
    pub admitted_bytes_max: u64,
    /// Pulls, waiting ones too; beyond it a pull is refused with `Full`.
    pub pulls_max: usize,
    /// Failures of a source in a row after which a pull gives it up.
    pub source_failures_max: u32,
    /// The first pause of a source that failed; it doubles with each failure in a row.
    pub source_pause: Duration,
    /// Time to connect and shake hands.
    pub connect_timeout: Duration,
    /// A lane without a byte for so long while some are due is ended.
    pub stall_timeout: Duration,
    /// How long a holder waits for a chunk that it is itself still receiving.
    pub chunk_wait: Duration,
    /// An idle lane is closed after this.
    pub lane_idle: Duration,
    /// A control connection that has nothing to say says so at this interval.
    pub heartbeat: Duration,
    /// A control connection that says nothing for so long is lost.
    pub peer_timeout: Duration,
    /// Whether each chunk bears a crc32c that the receiver checks.
    pub has_checksums: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            frame_bytes_max: 64 << 10,
            frames_queued_max: 1024,
            events_queued_max: 4096,
            lanes_per_peer_max: 4,
            lanes_served_max: 512,
            handshakes_max: 64,
            reads_per_lane_max: 64,
            chunks_in_flight_max: 16,
            chunks_per_read_max: 4,
            peer_bytes_in_flight_max: 64 * MIB,
            node_bytes_in_flight_max: 256 * MIB,
            admitted_bytes_max: 4096 * MIB,
            pulls_max: 16_384,
            source_failures_max: 3,
            source_pause: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(10),
            chunk_wait: Duration::from_secs(5),
            lane_idle: Duration::from_secs(30),
            heartbeat: Duration::from_secs(1),
            peer_timeout: Duration::from_secs(5),
            has_checksums: cfg!(debug_assertions),
        }
    }
}
