//! TCP over loopback, between mappings whose pages are there.

use crate::metric::{Metric, seconds, times};
use anyhow::{Context, Result, bail};
use rayline_transport::tcp::{ClusterId, Options, Secret, Tcp};
use rayline_transport::{
    Access, Ask, Broadcast, Class, Extent, Memfd, ObjectKey, PeerId, Puller, Regions, Registration, Source, Transport,
    read_blocking,
};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const GIB: usize = 1 << 30;
const BROADCAST_BYTES: usize = 256_000_000;
const LIMIT: Duration = Duration::from_secs(120);

/// A peer with one region, which it publishes or lands in.
struct Peer {
    tcp: Arc<Tcp>,
    puller: Puller,
    region: Registration,
}

fn peer(id: u128, bytes: usize, lane_bytes_per_s: u32) -> Result<Peer> {
    let options = Options::loopback(PeerId(id), ClusterId(1), Secret([1; 32]));
    let options = Options { lane_bytes_per_s, ..options };
    let limits = options.limits.clone();
    let tcp = Arc::new(Tcp::bind(options, Regions::new())?.0);
    let region = tcp.regions().register(Memfd::new(bytes)?, Access::Land);
    Ok(Peer { puller: Puller::new(tcp.clone(), limits)?, tcp, region })
}

/// The seconds that each of `reps` pulls of `bytes` takes.
fn pulls(reps: usize, bytes: usize, lane_bytes_per_s: u32) -> Result<Vec<f64>> {
    let (holder, reader) = (peer(2, bytes, lane_bytes_per_s)?, peer(1, bytes, 0)?);
    reader.tcp.introduce(PeerId(2), holder.tcp.address());
    let object = holder.region.publish(0, bytes as u64)?;
    let source = Source { peer: PeerId(2), span: object.remote(), rank: 0 };
    Ok(seconds(reps, || {
        let extent = reader.region.land(0, bytes as u64).expect("the last pull is over");
        pull(&reader, vec![source], extent).wait(LIMIT).expect("it ends in time").expect("nothing fails on loopback");
    }))
}

fn pull(reader: &Peer, sources: Vec<Source>, extent: Extent) -> rayline_transport::Pull {
    let ask =
        Ask { object: ObjectKey(1), class: Class::Get, len: extent.len(), sources, land: Box::new(|| Ok(extent)) };
    reader.puller.pull(ask).expect("it takes one pull")
}

fn read_rates(reps: usize) -> Result<Vec<f64>> {
    Ok(pulls(reps, GIB, 0)?.into_iter().map(|seconds| GIB as f64 / 1e9 / seconds).collect())
}

/// One object of 1 GiB, between two endpoints of this process.
pub fn read(reps: usize) -> Result<Metric> {
    Ok(Metric::of("tcp_read", "GB/s", read_rates(reps)?).with("bytes", GIB))
}

/// The same by what `iperf3 -P 4` moves in the same run.
pub fn of_iperf3(reps: usize) -> Result<Metric> {
    if Command::new("iperf3").arg("--version").stdout(Stdio::null()).status().is_err() {
        bail!("tcp_of_iperf3 is not measured: install iperf3 to compare with it");
    }
    let mut ratios = vec![];
    let mut rates = vec![];
    for _ in 0..reps.min(5) {
        let theirs = iperf3()?;
        ratios.push(Metric::of("tcp_read", "GB/s", read_rates(3)?).value / theirs);
        rates.push(theirs);
    }
    Ok(Metric::of("tcp_of_iperf3", "ratio", ratios).with("streams", 4).with("iperf3_gb_per_s", rates))
}

/// Gigabytes a second of four streams.
fn iperf3() -> Result<f64> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new("iperf3");
    let server = command.args(["-s", "-1", "-B", "127.0.0.1", "-p", &port]).stdout(Stdio::null());
    let _server = Ended(server.spawn().context("can't start iperf3")?);
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(50));
        let mut command = Command::new("iperf3");
        let output = command.args(["-c", "127.0.0.1", "-p", &port, "-P", "4", "-t", "2", "-l", "1M", "-J"]).output()?;
        if output.status.success() {
            let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
            let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
            return Ok(bits.context("iperf3 reports no rate")? / 8e9);
        }
    }
    bail!("the server of iperf3 takes no connection")
}

/// A process that doesn't outlive us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It ends by itself after one client; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An object of 4 KiB: asking, reading, landing.
pub fn small_read(_reps: usize) -> Result<Metric> {
    let (holder, reader) = (peer(2, 4096, 0)?, peer(1, 4096, 0)?);
    reader.tcp.introduce(PeerId(2), holder.tcp.address());
    let object = holder.region.publish(0, 4096)?;
    let times = times(2000, || {
        let extent = reader.region.land(0, 4096).expect("the last read is over");
        read_blocking(&*reader.tcp, PeerId(2), object.remote(), &extent).expect("nothing fails on loopback");
    });
    Ok(Metric::latency("tcp_small_read", &times).with("bytes", 4096))
}

/// An object of 256 MB to four receivers in a chain. `of_one` is the ratio to one transfer where the cores are the bound,
/// `of_one_paced` where each lane sends 64 MB/s, as over a network.
pub fn broadcast_4(reps: usize) -> Result<Metric> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let values = broadcasts(reps, 0)?;
    let one = median(pulls(reps, BROADCAST_BYTES, 0)?);
    let paced = 64_000_000;
    let paced_ratio = median(broadcasts(1, paced)?) / median(pulls(1, BROADCAST_BYTES, paced)?);
    let ratio = median(values.clone()) / one;
    let metric = Metric::of("broadcast_4", "s", values).with("bytes", BROADCAST_BYTES);
    Ok(metric.with("of_one", ratio).with("of_one_paced", paced_ratio))
}

fn broadcasts(reps: usize, lane_bytes_per_s: u32) -> Result<Vec<f64>> {
    let len = BROADCAST_BYTES as u64;
    let peers = (1..=5).map(|id| peer(id, BROADCAST_BYTES, lane_bytes_per_s)).collect::<Result<Vec<Peer>>>()?;
    for peer in &peers {
        peers.iter().for_each(|other| peer.tcp.introduce(other.tcp.local(), other.tcp.address()));
    }
    let object = peers[0].region.publish(0, len)?;
    let origin = Source { peer: PeerId(1), span: object.remote(), rank: 0 };
    Ok(seconds(reps, || {
        let mut chain = Broadcast::new(origin, 1);
        let pulls: Vec<_> = peers[1..]
            .iter()
            .map(|peer| {
                let extent = peer.region.land(0, len).expect("the last broadcast is over");
                let receiver = Source { peer: peer.tcp.local(), span: extent.remote(), rank: 0 };
                pull(peer, chain.join(receiver), extent)
            })
            .collect();
        for pull in &pulls {
            pull.wait(LIMIT).expect("it ends in time").expect("nothing fails on loopback");
        }
    }))
}
