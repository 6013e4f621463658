//! The macros of Rayline: `#[task]`, `#[derive(Actor)]`, `#[methods]` and `#[main]`. Use them through `rayline`.
//!
//! They emit calls to `rayline` and hold no logic of their own.

mod actor;
mod main_fn;
mod methods;
mod options;
mod signature;
mod task;

use proc_macro::TokenStream;

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a function a task: `f::remote(args)` submits it, `f::call(args)` prepares a call whose options may be changed.
/// The function itself stays, and can be called as such.
///
/// Options: `cpu = 1`, `gpu = 0.5`, `memory = "2 GiB"`, `resources(name = 1)`, `name = "rollout"` (in errors and logs, in
/// place of its path), `retries = 3`, `retry_on(panic, any, MyError)`, `returns = 2` (the parts of a tuple as objects of their own), `buffer = 64` (items of a
/// stream that may wait).
///
/// A function that returns `Result<T, E>` gives an object of type `T`; its `Err` fails the reference and all that depends
/// on it. One that returns `impl Iterator<Item = T>` gives a stream. An `async fn` holds no thread while it waits.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(task::expand(options.into(), item.into()))
}

/// Makes a type an actor, with a reference type `NameRef`.
///
/// Options in `#[actor(…)]`: `cpu`, `gpu`, `memory`, `resources(name = 1)`, `restarts = 2`, `concurrency = 8` (methods by
/// `&self` that may overlap), `checkpoint = 10` (saves the state every 10 calls; needs `Checkpoint`).
#[proc_macro_derive(Actor, attributes(actor))]
pub fn derive_actor(item: TokenStream) -> TokenStream {
    expand(actor::expand(item.into()))
}

/// Gives the reference of an actor the public methods of this `impl` block; `new` is its constructor.
#[proc_macro_attribute]
pub fn methods(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(methods::expand(options.into(), item.into()))
}

/// Runs `main` in a runtime that is shut down after it. `main` may be `async`.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(main_fn::expand(options.into(), item.into()))
}

/// Registers instances of a generic task: `instantiate!(sort<u32>, sort<String>);`.
#[proc_macro]
pub fn instantiate(instances: TokenStream) -> TokenStream {
    expand(task::instantiate(instances.into()))
}
