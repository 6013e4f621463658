//! RDMA between two endpoints of this process, by cards whose memory is pinned already.

use crate::metric::{Metric, seconds};
use anyhow::{Context, Result, bail, ensure};
use rayline_transport::rdma::{Mode, Options, Rdma, probe};
use rayline_transport::tcp::{ClusterId, Options as TcpOptions, Secret};
use rayline_transport::{
    Access, Ask, Class, Memfd, ObjectKey, PeerId, Puller, Regions, Registration, Source, Transport,
};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const MIB: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(300);
/// Which cards to use: that of the reader and that of the holder, with a comma between.
const CARDS: &str = "RAYLINE_BENCH_CARDS";
/// How large the object is, in MiB: less where cards are slow.
const OBJECT: &str = "RAYLINE_BENCH_MIB";

/// The cards to measure, with the index of the address that each is used by.
struct Cards {
    reader: (String, u8),
    holder: (String, u8),
}

impl Cards {
    /// Those that are named, or the first that can be used, for both sides.
    fn choose() -> Result<Self> {
        let report = probe();
        let cards = report.cards.as_deref().unwrap_or_default();
        let usable: Vec<(String, u8)> = cards
            .iter()
            .filter_map(|card| {
                let port = card.ports.as_ref().ok()?.iter().find(|port| port.is_active && port.gid.is_ok())?;
                Some((card.name.clone(), port.gid.as_ref().ok()?.index))
            })
            .collect();
        let Some(first) = usable.first() else { bail!("skipped: {}", report.to_string().trim_end()) };
        let Ok(names) = std::env::var(CARDS) else {
            return Ok(Self { reader: first.clone(), holder: first.clone() });
        };
        let (reader, holder) = names.split_once(',').with_context(|| format!("{CARDS} names two cards"))?;
        let find = |name: &str| usable.iter().find(|(card, _)| card == name).cloned();
        let missing = |name: &str| format!("{name} is no card that can be used");
        Ok(Self {
            reader: find(reader).with_context(|| missing(reader))?,
            holder: find(holder).with_context(|| missing(holder))?,
        })
    }
}

struct Peer {
    rdma: Arc<Rdma>,
    puller: Puller,
    region: Registration,
}

fn peer(id: u128, card: &str, bytes: usize) -> Result<Peer> {
    let tcp = TcpOptions::loopback(PeerId(id), ClusterId(1), Secret([1; 32]));
    let limits = tcp.limits.clone();
    let options = Options { mode: Mode::Rdma, cards: vec![card.into()], ..Options::new(tcp) };
    let rdma = Arc::new(Rdma::bind(options, Regions::new())?.0);
    let region = rdma.regions().register(Memfd::new(bytes)?, Access::Land);
    Ok(Peer { puller: Puller::new(rdma.clone(), limits)?, rdma, region })
}

fn object_bytes() -> Result<usize> {
    let mib = match std::env::var(OBJECT) {
        Ok(mib) => mib.parse().with_context(|| format!("{OBJECT} is a number of MiB"))?,
        Err(_) => 1024,
    };
    ensure!(mib > 0, "{OBJECT} is at least 1");
    Ok(mib * MIB)
}

/// Gigabytes a second of `reps` pulls, after one that pins the memory and connects the cards.
fn rates(cards: &Cards, reps: usize, bytes: usize) -> Result<Vec<f64>> {
    let (holder, reader) = (peer(2, &cards.holder.0, bytes)?, peer(1, &cards.reader.0, bytes)?);
    reader.rdma.introduce(PeerId(2), holder.rdma.address());
    let object = holder.region.publish(0, bytes as u64)?;
    let source = Source { peer: PeerId(2), span: object.remote(), rank: 0 };
    let pull = || {
        let extent = reader.region.land(0, bytes as u64).expect("the last pull is over");
        let land = Box::new(|| Ok(extent));
        let ask = Ask { object: ObjectKey(1), class: Class::Get, len: bytes as u64, sources: vec![source], land };
        let pull = reader.puller.pull(ask).expect("it takes one pull");
        pull.wait(LIMIT).expect("it ends in time").expect("nothing fails between two cards of one machine");
    };
    pull();
    Ok(seconds(reps, pull).into_iter().map(|seconds| bytes as f64 / 1e9 / seconds).collect())
}

/// One object of 1 GiB, between two endpoints of this process.
pub fn read(reps: usize) -> Result<Metric> {
    let (cards, bytes) = (Cards::choose()?, object_bytes()?);
    let metric = Metric::of("rdma_read", "GB/s", rates(&cards, reps, bytes)?).with("bytes", bytes);
    Ok(metric.with("reader", cards.reader.0).with("holder", cards.holder.0))
}

/// The same by what `ib_read_bw` moves in chunks of the same size, as many at a time, in the same run.
pub fn of_ib_read_bw(reps: usize) -> Result<Metric> {
    let (cards, bytes) = (Cards::choose()?, object_bytes()?);
    if Command::new("ib_read_bw").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        bail!("rdma_of_ib_read_bw is not measured: install perftest to compare with it");
    }
    let (mut ratios, mut theirs) = (vec![], vec![]);
    for _ in 0..reps.min(5) {
        let rate = ib_read_bw(&cards, bytes / MIB)?;
        ratios.push(Metric::of("rdma_read", "GB/s", rates(&cards, 1, bytes)?).value / rate);
        theirs.push(rate);
    }
    Ok(Metric::of("rdma_of_ib_read_bw", "ratio", ratios).with("ib_read_bw_gb_per_s", theirs))
}

/// Gigabytes a second of reads of 1 MiB, 16 at a time.
fn ib_read_bw(cards: &Cards, chunks: usize) -> Result<f64> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let count = chunks.max(16).to_string();
    let command = |(card, gid): &(String, u8)| {
        let mut command = Command::new("ib_read_bw");
        let gid = gid.to_string();
        command
            .args(["-d", card, "-x", &gid, "-s", "1048576", "-t", "16", "-o", "16", "-n", &count, "-p", &port, "-F"]);
        command
    };
    let mut server = command(&cards.holder).stdout(Stdio::null()).spawn().context("can't start ib_read_bw")?;
    let mut rate = None;
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(100));
        let output = command(&cards.reader).arg("127.0.0.1").output()?;
        if output.status.success() {
            rate = Some(average(&String::from_utf8_lossy(&output.stdout)).context("ib_read_bw reports no rate")?);
            break;
        }
    }
    // It ends by itself after one client; then there is nothing to kill.
    let _ = server.kill();
    let _ = server.wait();
    rate.context("the server of ib_read_bw takes no connection")
}

/// The average of a report, which is in MiB a second, behind size, count and peak.
fn average(report: &str) -> Option<f64> {
    let lines = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.rev().find(|words| words.first() == Some(&"1048576"))?;
    Some(line.get(3)?.parse::<f64>().ok()? * MIB as f64 / 1e9)
}
