//! What the macros accept: functions and actors of all shapes, as people write them, without a warning.
//!
//! What they refuse is in `ui/`.
#![deny(warnings, missing_docs, clippy::all)]
// In tests and what they call, an error is a failure.
#![allow(clippy::unwrap_used)]

use rayline::prelude::*;
use std::fmt::Debug;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const CPUS: u32 = 1;

/// The aliases of other libraries.
pub mod io {
    /// A result with one parameter.
    pub type Result<T> = std::result::Result<T, std::io::Error>;
}

/// Tasks and actors that others use.
pub mod inner {
    use rayline::prelude::*;

    /// Nothing in, nothing out.
    #[task]
    pub fn nothing() {}

    /// Seen by the module above.
    #[task]
    pub(super) fn seven() -> i64 {
        7
    }

    /// The same, with an await point.
    #[task]
    pub(crate) async fn later() -> i64 {
        tokio::task::yield_now().await;
        8
    }

    /// An actor with a public reference.
    #[derive(Actor)]
    pub struct Shelf {
        items: Vec<String>,
    }

    #[methods]
    impl Shelf {
        /// Empty.
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self { items: Vec::new() }
        }

        /// Puts `item` there.
        pub fn put(&mut self, item: &String) {
            self.items.push(item.clone());
        }

        /// How many there are.
        pub(crate) fn count(&self) -> usize {
            self.items.len()
        }
    }
}

/// Parameters that have the names of what generated code might use, and the task's own.
#[task]
#[allow(clippy::too_many_arguments)]
fn shadow(shadow: i64, error: i64, item: &i64, slots: i64, args: i64, name: i64, actor: i64, argument_0: i64) -> i64 {
    shadow + error + item + slots + args + name + actor + argument_0
}

/// Ten parameters, one of them changed within.
#[task]
#[allow(clippy::too_many_arguments)]
fn many(mut a: i64, b: i64, c: &i64, d: i64, e: i64, f: i64, g: i64, h: &i64, i: i64, j: i64) -> i64 {
    a += 1;
    a + b + c + d + e + f + g + h + i + j
}

/// Takes and gives nothing worth a name.
#[task]
fn unit(_nothing: ()) {}

/// A raw name.
#[task]
fn r#match(r#type: String) -> String {
    r#type
}

/// An alias of `Result`, with options by expression.
#[task(cpu = CPUS, memory = 1 << 20, retries = 1 + 1, name = "reads")]
fn read(path: String) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Generic in a type and a number.
#[task]
fn chunks<T, const N: usize>(values: Vec<T>) -> Vec<Vec<T>>
where
    T: Data + Debug,
{
    values.chunks(N).map(<[T]>::to_vec).collect()
}

/// A generic stream.
#[task(buffer = 2)]
fn each<T: Data>(values: Vec<T>) -> impl Iterator<Item = T> + Send {
    values.into_iter()
}

/// A generic task that awaits.
#[task]
async fn echo<T: Data>(value: T) -> T {
    tokio::task::yield_now().await;
    value
}

rayline::instantiate!(chunks<u32, 2>, each<u32>, echo<String>);

/// Several values, by a future.
#[task(returns = 3)]
async fn three(x: i64) -> Result<(i64, String, ()), std::num::ParseIntError> {
    tokio::task::yield_now().await;
    Ok((x, x.to_string(), ()))
}

/// Not used anywhere: no warning says so.
#[task]
fn unused() {}

/// An actor with every kind of method.
#[derive(Actor, Debug, Default)]
#[actor(cpu = 0, restarts = 1, concurrency = 2, checkpoint = 5)]
struct Everything {
    sum: i64,
}

impl Checkpoint for Everything {
    type State = i64;

    fn save(&self) -> i64 {
        self.sum
    }

    fn restore(sum: i64) -> Self {
        Self { sum }
    }
}

#[methods]
impl Everything {
    /// Constants and other items may be there, too.
    const START: i64 = 1;

    /// By a fallible constructor.
    pub fn new(actor: i64) -> rayline::Result<Self> {
        Ok(Self { sum: Self::helper(actor) })
    }

    fn helper(x: i64) -> i64 {
        x + Self::START
    }

    /// Generic, but not a message.
    fn add_all<T: Into<i64>>(&mut self, values: Vec<T>) {
        self.sum += values.into_iter().map(Into::into).sum::<i64>();
    }

    /// Parameters with the names of generated code.
    pub fn add(&mut self, actor: i64, mut error: i64, items: &Vec<i64>) -> i64 {
        error += actor;
        self.add_all(items.clone());
        self.sum += error;
        self.sum
    }

    /// Nothing out.
    pub fn reset(&mut self) {
        self.sum = 0;
    }

    /// Only there on this platform.
    #[cfg(unix)]
    pub fn platform(&self) -> String {
        "unix".to_owned()
    }

    /// Nowhere.
    #[cfg(not(unix))]
    pub fn platform(&self) -> u8 {
        0
    }

    /// Fails, and awaits.
    pub async fn check(&self, limit: i64) -> Result<i64, String> {
        tokio::task::yield_now().await;
        if self.sum > limit { Err(format!("{} > {limit}", self.sum)) } else { Ok(self.sum) }
    }

    /// Awaits, alone.
    pub async fn add_later(&mut self, x: i64) {
        tokio::task::yield_now().await;
        self.sum += x;
    }
}

#[test]
fn tasks_of_all_shapes() {
    inner::nothing::remote().get_timeout(LONG).unwrap();
    assert_eq!(
        inner::seven::remote().get_timeout(LONG).unwrap() + inner::later::remote().get_timeout(LONG).unwrap(),
        15
    );
    assert_eq!(shadow::remote(1, 2, 3, 4, 5, 6, 7, 8).get_timeout(LONG).unwrap(), 36);
    assert_eq!(many::remote(0, 1, 2, 3, 4, 5, 6, 7, 8, 9).get_timeout(LONG).unwrap(), 46);
    unit::remote(()).get_timeout(LONG).unwrap();
    assert_eq!(r#match::remote("x".to_owned()).get_timeout(LONG).unwrap(), "x");
    let error = read::call("/nowhere".to_owned()).remote().get_timeout(LONG).unwrap_err();
    assert!(error.to_string().starts_with("reads failed: "), "{error}");
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(chunks::<u32, 2>::remote(vec![1, 2, 3]).get_timeout(LONG).unwrap(), [vec![1, 2], vec![3]]);
    assert_eq!(each::remote(vec![1u32, 2]).values().collect::<Result<Vec<_>, _>>().unwrap(), [1, 2]);
    assert_eq!(echo::remote("y".to_owned()).get_timeout(LONG).unwrap(), "y");
    let (number, text, nothing) = three::remote(4);
    assert_eq!((number.get_timeout(LONG).unwrap(), text.get_timeout(LONG).unwrap()), (4, "4".to_owned()));
    nothing.get_timeout(LONG).unwrap();
    #[task]
    fn within_a_function(x: i64) -> i64 {
        x
    }
    assert_eq!(within_a_function::remote(inner::seven::remote()).get_timeout(LONG).unwrap(), 7);
}

#[test]
fn actors_of_all_shapes() {
    let everything = Everything::remote(1);
    assert_eq!(everything.add(1, 2, vec![3, 4]).get_timeout(LONG).unwrap(), 12);
    everything.add_later(8);
    assert_eq!(everything.check(20).get_timeout(LONG).unwrap(), 20);
    let error = everything.check(19).get_timeout(LONG).unwrap_err();
    assert_eq!(error.to_string(), "macros::Everything::check failed: 20 > 19");
    everything.reset();
    assert_eq!(everything.platform().get_timeout(LONG).unwrap(), "unix");
    assert_eq!(everything.add(0, 0, put(vec![])).get_timeout(LONG).unwrap(), 0);
    let shelf = inner::Shelf::create().name("shelf").remote();
    shelf.put("a".to_owned());
    assert_eq!(inner::Shelf::named("shelf").unwrap().count().get_timeout(LONG).unwrap(), 1);
}
