//! Clients that are processes of their own: this program, started again.

use rayline_store::shm::{Client, ObjectKey, Store, StoreOptions};
use rayline_store::{Tensor, decode};
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MB: usize = 1 << 20;
const SOCKET: &str = "RAYLINE_STORE_TEST_SOCKET";
const PART: &str = "RAYLINE_STORE_TEST_PART";

/// What the other processes do. Where this program is tested, and no such process, it does nothing.
#[test]
fn be_another_process() {
    let (Ok(path), Ok(part)) = (std::env::var(SOCKET), std::env::var(PART)) else { return };
    let client = Client::connect(UnixStream::connect(path).unwrap()).unwrap();
    match part.as_str() {
        "read" => read(&client),
        "die" => die(&client),
        part => panic!("no part is called {part}"),
    }
}

fn read(client: &Client) {
    let region = client.get(&ObjectKey::from(1)).unwrap().unwrap();
    let (_, tensors): (String, Vec<Tensor<f64>>) = decode(&region).unwrap();
    assert!(region.as_ptr_range().contains(&tensors[0].data().as_ptr().cast()));
    let sum: f64 = tensors[0].data().iter().sum();
    client.put(ObjectKey::from(2), &sum).unwrap();
    assert!(client.delete(&ObjectKey::from(1)).unwrap());
}

/// Has one of everything, says so, and waits for its death.
fn die(client: &Client) {
    let _view = client.get(&ObjectKey::from(1)).unwrap().unwrap();
    client.delete(&ObjectKey::from(1)).unwrap();
    let mut large = client.allocate(4 * MB).unwrap();
    large.fill(1);
    let _small = client.allocate(100).unwrap();
    client.put(ObjectKey::from(2), &vec![7_u8; 1000]).unwrap();
    client.put(ObjectKey::from(3), &vec![8_u8; MB]).unwrap();
    println!("ready");
    std::thread::sleep(Duration::from_secs(60));
}

struct Listener(UnixListener, PathBuf);

impl Listener {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rayline-store-test-{}-{name}", std::process::id()));
        Self(UnixListener::bind(&path).unwrap(), path)
    }

    fn spawn(&self, part: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::be_another_process", "--nocapture"])
            .env(SOCKET, &self.1)
            .env(PART, part)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

#[test]
fn another_process_reads_in_place_and_writes() {
    let store = Store::create(StoreOptions::new(64 * MB)).unwrap();
    let client = store.client();
    let tensor = Tensor::from_shape_vec(1_000_000, (0..1_000_000).map(f64::from).collect::<Vec<_>>()).unwrap();
    client.put(ObjectKey::from(1), &("deep", vec![tensor])).unwrap();
    let listener = Listener::new("read");
    let child = listener.spawn("read");
    let serving = store.serve(listener.0.accept().unwrap().0).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serving.join().unwrap();
    let sum: f64 = decode(&client.get(&ObjectKey::from(2)).unwrap().unwrap()).unwrap();
    assert_eq!(sum, 499_999_500_000.0);
    assert!(client.get(&ObjectKey::from(1)).unwrap().is_none());
}

#[test]
fn a_process_that_is_killed_leaves_its_sealed_objects_and_nothing_else() {
    let mut options = StoreOptions::new(32 * MB);
    options.patience = Duration::ZERO;
    let store = Store::create(options).unwrap();
    let client = store.client();
    let listener = Listener::new("die");
    for round in 0..4 {
        client.put(ObjectKey::from(1), &vec![1_u8; 8 * MB]).unwrap();
        let mut child = listener.spawn("die");
        let serving = store.serve(listener.0.accept().unwrap().0).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")));
        assert!(client.allocate(25 * MB).is_err(), "its memory is in use while it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        serving.join().unwrap();
        let kept: Vec<u8> = decode(&client.get(&ObjectKey::from(2)).unwrap().unwrap()).unwrap();
        assert_eq!(kept, [7; 1000], "round {round}");
        assert!(client.delete(&ObjectKey::from(2)).unwrap() && client.delete(&ObjectKey::from(3)).unwrap());
        let began = Instant::now();
        drop(client.allocate(31 * MB).expect("all that it had is free"));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
