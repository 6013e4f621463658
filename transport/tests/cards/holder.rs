//! The other process: it publishes objects and takes pushes, as it is told by lines.

use rayline_transport::rdma::{Mode, Options, Rdma};
use rayline_transport::tcp::{ClusterId, Options as TcpOptions, Secret};
use rayline_transport::{Access, Event, Extent, Limits, Memfd, PeerId, Regions, Registration, RemoteSpan, Transport};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

pub const MIB: usize = 1 << 20;
/// The first peer of a holder; further endpoints of it count up.
pub const HOLDER: u128 = 100;

/// The options of all endpoints here.
pub fn options(peer: u128, cards: &[&str]) -> Options {
    let limits = Limits {
        stall_timeout: Duration::from_secs(20),
        source_pause: Duration::from_millis(200),
        has_checksums: true,
        ..Limits::default()
    };
    let tcp = TcpOptions { limits, ..TcpOptions::loopback(PeerId(peer), ClusterId(1), Secret([9; 32])) };
    let cards = cards.iter().map(|card| String::from(*card)).collect();
    Options { mode: Mode::Rdma, cards, extent_bytes: 4 * MIB as u64, ..Options::new(tcp) }
}

/// What object number `seed` holds.
pub fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 4093 + seed * 7) as u8).collect()
}

/// Serves until its input ends. Arguments: how many endpoints, and the names of the cards.
pub fn run(arguments: &[&str]) {
    let count: u128 = arguments[0].parse().unwrap();
    let endpoints: Vec<(Rdma, Receiver<Event>)> =
        (0..count).map(|index| Rdma::bind(options(HOLDER + index, &arguments[1..]), Regions::new()).unwrap()).collect();
    let addresses: Vec<String> = endpoints.iter().map(|(rdma, _)| rdma.address().to_string()).collect();
    say(&addresses.join(" "));
    let mut held: Vec<(Registration, Option<Extent>)> = vec![];
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        match words[0] {
            "publish" => {
                let bytes = number(2);
                let mut memory = Memfd::new(bytes).unwrap();
                memory.bytes_mut().copy_from_slice(&pattern(bytes, number(3)));
                let registration = endpoints[number(1)].0.regions().register(memory, Access::Read);
                let extent = registration.publish(0, bytes as u64).unwrap();
                say(&words_of(extent.remote()));
                held.push((registration, Some(extent)));
            }
            "land" => {
                let memory = Memfd::new(number(2)).unwrap();
                let registration = endpoints[number(1)].0.regions().register(memory, Access::Land);
                let extent = registration.land(0, number(2) as u64).unwrap();
                say(&words_of(extent.remote()));
                held.push((registration, Some(extent)));
            }
            "landed" => {
                let landed = held.last().unwrap().1.as_ref().unwrap().to_vec();
                say(&landed.is_some_and(|bytes| bytes == pattern(bytes.len(), number(1))).to_string());
            }
            "retire" => {
                held.last_mut().unwrap().1 = None;
                say("retired");
            }
            "deregister" => {
                held.pop();
                say("deregistered");
            }
            other => panic!("what is {other}?"),
        }
    }
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

fn words_of(span: RemoteSpan) -> String {
    format!("{} {} {} {}", span.key, span.generation, span.offset, span.len)
}

/// The holder, as the process sees it that reads from it. It dies with this value.
pub struct Holder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub addresses: Vec<SocketAddr>,
}

impl Holder {
    pub fn start(endpoints: usize, cards: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("holder").arg(endpoints.to_string()).args(cards);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut holder = Self { child, input, output, addresses: vec![] };
        holder.addresses = holder.hear().split(' ').map(|address| address.parse().unwrap()).collect();
        holder
    }

    /// Says a line, and returns the answer.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.hear()
    }

    /// Says a line that is answered by a span.
    pub fn span(&mut self, line: &str) -> RemoteSpan {
        let answer = self.ask(line);
        let numbers: Vec<u64> = answer.split(' ').map(|word| word.parse().unwrap()).collect();
        RemoteSpan { key: numbers[0], generation: numbers[1], offset: numbers[2], len: numbers[3] }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the holder has died");
        line.trim_end().into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // One that was killed already says so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
