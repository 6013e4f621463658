//! What the tests of the machines share: scripts, ids from text, and a seeded generator.
#![allow(dead_code)]

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rayline_core::ids::*;
use rayline_core::resources::{Amount, Capacity, Demand};

/// A small seeded generator (splitmix64): a failure is reproduced by its seed.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len() as u64) as usize) }
    }
}

/// Runs `seeds` random walks; a failure names the seed, and `SEED=n` runs that one alone.
pub fn for_seeds(seeds: u64, walk: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| walk(seed)) {
            eprintln!("to reproduce: SEED={seed} cargo test -p rayline-core");
            std::panic::resume_unwind(panic);
        }
    }
}

/// With `SEED=n`, says what happens.
pub fn trace(what: &impl std::fmt::Debug) {
    static ON: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| std::env::var("SEED").is_ok());
    if *ON {
        eprintln!("{what:?}");
    }
}

/// Runs `testdata/{name}.txt`: each line `> command` is handed to `run`, and what it returns is compared with the indented
/// lines below it. `UPDATE=1` writes them anew. Other lines are comments.
pub fn run_script(name: &str, mut run: impl FnMut(Command) -> Vec<String>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(format!("{name}.txt"));
    let script = std::fs::read_to_string(&path).unwrap();
    let mut result = String::new();
    for line in script.lines().filter(|line| !line.starts_with("  ")) {
        result.push_str(line);
        result.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            run(Command::parse(command)).iter().for_each(|line| result.push_str(&format!("  {line}\n")));
        }
    }
    if std::env::var("UPDATE").is_ok() {
        return std::fs::write(&path, result).unwrap();
    }
    let differs = script.lines().zip(result.lines()).position(|(old, new)| old != new);
    if script != result {
        let at = differs.unwrap_or_else(|| script.lines().count().min(result.lines().count()));
        let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
        panic!(
            "{}:{}\n  expected {}\n  got      {}\nUPDATE=1 rewrites the file",
            path.display(),
            at + 1,
            line(&script),
            line(&result)
        );
    }
}

/// A line of a script: a verb, things in order, and things by name.
pub struct Command {
    pub verb: String,
    words: Vec<String>,
}

impl Command {
    fn parse(line: &str) -> Command {
        let mut words = vec![String::new()];
        let mut depth = 0;
        for c in line.chars() {
            depth += i32::from("{[".contains(c)) - i32::from("}]".contains(c));
            if c == ' ' && depth == 0 {
                words.push(String::new());
            } else {
                words.last_mut().unwrap().push(c);
            }
        }
        Command { verb: words.remove(0), words }
    }

    /// The `at`-th word without an `=`.
    pub fn word(&self, at: usize) -> &str {
        let mut words = self.words.iter().filter(|word| !word.contains('='));
        words.nth(at).unwrap_or_else(|| panic!("{} needs a word {at}", self.verb))
    }

    pub fn words(&self) -> usize {
        self.words.iter().filter(|word| !word.contains('=')).count()
    }

    /// The value of `name=value`.
    pub fn named(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    pub fn number<T: FromStr>(&self, name: &str, default: T) -> T {
        self.named(name).map_or(default, |text| text.parse().ok().unwrap())
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.named(name).unwrap_or("[]").trim_matches(['[', ']']);
        text.split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    pub fn node(&self, at: usize) -> NodeId {
        node(self.word(at))
    }

    pub fn task(&self, at: usize) -> TaskId {
        task(self.word(at))
    }

    pub fn object(&self, at: usize) -> ObjectId {
        object(self.word(at))
    }

    pub fn lease(&self, at: usize) -> LeaseId {
        let [node, seq] = numbers(self.word(at), "l");
        LeaseId { node: NodeId(node as u32), seq }
    }

    pub fn request(&self, at: usize) -> RequestId {
        let [owner, seq] = numbers(self.word(at), "r");
        RequestId { owner: OwnerId(owner as u32), seq }
    }

    pub fn owner(&self, at: usize) -> OwnerId {
        let [owner] = numbers(self.word(at), "w");
        OwnerId(owner as u32)
    }

    pub fn actor(&self, at: usize) -> ActorId {
        let [owner, seq] = numbers(self.word(at), "a");
        ActorId { owner: OwnerId(owner as u32), seq }
    }

    pub fn group(&self, at: usize) -> GroupId {
        let [owner, seq] = numbers(self.word(at), "g");
        GroupId { owner: OwnerId(owner as u32), seq }
    }

    pub fn bundle(&self, at: usize) -> BundleId {
        bundle(self.word(at))
    }

    pub fn attempt(&self, at: usize) -> Attempt {
        let [attempt] = numbers(self.word(at), "#");
        Attempt(attempt as u32)
    }

    pub fn incarnation(&self, at: usize) -> Incarnation {
        let [incarnation] = numbers(self.word(at), "i");
        Incarnation(incarnation as u32)
    }

    pub fn token(&self, at: usize) -> TimerToken {
        let [token] = numbers(self.word(at), "tok");
        TimerToken(token)
    }

    pub fn class(&self, at: usize) -> ClassId {
        class(self.word(at))
    }

    pub fn millis(&self, at: usize) -> Duration {
        Duration::from_millis(self.word(at).trim_end_matches("ms").parse().unwrap())
    }

    pub fn demand(&self, at: usize) -> Demand {
        demand(self.word(at))
    }

    pub fn capacity(&self, at: usize) -> Capacity {
        capacity(self.word(at))
    }
}

pub fn node(text: &str) -> NodeId {
    let [node] = numbers(text, "n");
    NodeId(node as u32)
}

pub fn task(text: &str) -> TaskId {
    let [owner, seq] = numbers(text, "t");
    TaskId { owner: OwnerId(owner as u32), seq }
}

pub fn object(text: &str) -> ObjectId {
    let [owner, seq, index] = numbers(text, "o");
    TaskId { owner: OwnerId(owner as u32), seq }.object(index as u32)
}

pub fn bundle(text: &str) -> BundleId {
    let [owner, seq, index] = numbers(text, "b");
    GroupId { owner: OwnerId(owner as u32), seq }.bundle(index as u32)
}

pub fn class(text: &str) -> ClassId {
    let [class] = numbers(text, "c");
    ClassId(class as u32)
}

fn numbers<const N: usize>(text: &str, prefix: &str) -> [u64; N] {
    let rest = text.strip_prefix(prefix).unwrap_or_else(|| panic!("{text} does not start with {prefix}"));
    let numbers: Vec<u64> = rest.split('.').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{text} has not {N} numbers"))
}

/// Reads `{cpu: 1, memory: 1024, gpu: 0.5, license: 2}`.
fn resources(text: &str) -> Vec<(String, f64)> {
    let inner =
        text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_else(|| panic!("no braces: {text}"));
    let pairs = inner.split(", ").filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once(": ").unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

pub fn demand(text: &str) -> Demand {
    resources(text).into_iter().fold(Demand::nothing(), |demand, (name, value)| {
        let amount = Amount::from_f64(value).unwrap();
        match name.as_str() {
            "cpu" => demand.with_cpu(amount),
            "memory" => demand.with_memory(value as u64),
            "gpu" => demand.with_gpu(amount).unwrap(),
            name => demand.with_named(name, amount),
        }
    })
}

pub fn capacity(text: &str) -> Capacity {
    let all = resources(text);
    let cpu = all.iter().find(|(name, _)| name == "cpu").map_or(0.0, |(_, value)| *value);
    let start = Capacity::cpus(Amount::from_f64(cpu).unwrap());
    all.into_iter().fold(start, |capacity, (name, value)| match name.as_str() {
        "cpu" => capacity,
        "memory" => capacity.with_memory(value as u64),
        "gpu" => (0..value as u32).fold(capacity, |capacity, index| capacity.with_gpu(index, 80 << 30)),
        name => capacity.with_named(name, Amount::from_f64(value).unwrap()),
    })
}
