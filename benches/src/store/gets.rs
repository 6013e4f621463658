//! Getting from another process.

use crate::metric::{Metric, times};
use anyhow::{Context, Result, ensure};
use rayline_store::shm::{Client, ObjectKey, Store, StoreOptions};
use rayline_store::{Tensor, decode};
use serde::{Deserialize, Serialize};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// 100 MB.
const NUMBERS: usize = 25_000_000;
const GETS: usize = 10_000;
const KEY: u128 = 1;

#[derive(Serialize, Deserialize)]
struct Policy {
    name: String,
    layers: Vec<Layer>,
}

#[derive(Serialize, Deserialize)]
struct Layer {
    bias: Vec<f32>,
    weights: Option<Tensor<f32>>,
}

/// The time from key to decoded value of a tensor of 100 MB deep in a struct, in another process than the one that put
/// it. That process checks that it views the store's memory.
pub fn get(_: usize) -> Result<Metric> {
    let store = Store::create(StoreOptions::new(256 << 20))?;
    let weights = Tensor::from_shape_vec((NUMBERS / 100, 100), vec![0.5_f32; NUMBERS])?;
    let layers = vec![Layer { bias: vec![0.1; 100], weights: Some(weights) }];
    store.client().put(ObjectKey::from(KEY), &Policy { name: "greedy".to_owned(), layers })?;
    let path = std::env::temp_dir().join(format!("rayline-bench-store-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    let probed = probed(&store, &listener, &path);
    std::fs::remove_file(&path)?;
    Ok(Metric::latency("get", &probed?).with("bytes", 4 * NUMBERS))
}

fn probed(store: &Store, listener: &UnixListener, path: &Path) -> Result<Vec<Duration>> {
    let mut program = Command::new(std::env::current_exe()?);
    let child = program.arg("probe-store").arg(path).stdout(Stdio::piped()).spawn().context("can't start the probe")?;
    store.serve(listener.accept()?.0)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the probe failed");
    let nanos = |line: &str| Ok(Duration::from_nanos(line.parse()?));
    String::from_utf8(output.stdout)?.lines().map(nanos).collect()
}

/// The body of the other process: prints the nanoseconds of each get.
pub fn probe(socket: &Path) -> Result<()> {
    let client = Client::connect(UnixStream::connect(socket)?)?;
    let get = || -> Result<()> {
        let region = client.get(&ObjectKey::from(KEY))?.context("no object")?;
        let policy: Policy = decode(&region)?;
        let weights = policy.layers[0].weights.as_ref().context("no weights")?;
        ensure!(region.as_ptr_range().contains(&weights.data().as_ptr().cast()), "the tensor was copied");
        Ok(())
    };
    get()?;
    for time in times(GETS, || get().expect("it went well before, and nobody deletes the object")) {
        println!("{}", time.as_nanos());
    }
    Ok(())
}
