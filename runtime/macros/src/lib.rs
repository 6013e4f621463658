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

/// As `expand`; beside an error the item stays as it was written, so that what refers to it isn't wrong as well.
fn expand_item(item: TokenStream, result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    let failed = result.is_err();
    let mut expanded = expand(result);
    if failed {
        expanded.extend(item);
    }
    expanded
}

/// Makes a function a task: `f::remote(args)` submits it, `f::call(args)` prepares a call whose options may be changed.
/// The function itself stays, and can be called as such.
///
/// | option | is | unless given |
/// |---|---|---|
/// | `cpu = 2` | CPUs that it holds while it runs; a fraction shares one | 1 |
/// | `gpu = 0.5` | GPUs that it holds: a part of one device, or whole devices | 0 |
/// | `memory = "2 GiB"` | host memory that is counted for it, in bytes or with a unit | 0 |
/// | `resources(license = 1)` | units of resources of your own | none |
/// | `name = "rollout"` | what errors and logs call it | its path |
/// | `retries = 3` | tries after the first, for failures of the system and what `retry_on` names | 3 |
/// | `retry_on(MyError, panic)` | errors after which another try is worth it: types, `panic`, `any` | none |
/// | `returns = 2` | the parts of the returned tuple are objects of their own | 1 |
/// | `isolated` | runs in a process of its own, which may crash without harm to others | in this process |
/// | `buffer = 64` | items of a stream that may wait for their consumer | 64 |
///
/// A function that returns `Result<T, E>` gives an object of type `T`; its `Err` fails the reference and all that depends
/// on it. One that returns `impl Iterator<Item = T>` gives a stream; where `T` is a `Result`, the first `Err` ends it. An
/// `async fn` holds no thread while it waits.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expand_item(item.clone(), task::expand(options.into(), item.into()))
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
    expand_item(item.clone(), methods::expand(options.into(), item.into()))
}

/// Runs `main` in a runtime that is shut down after it. `main` may be `async`.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand_item(item.clone(), main_fn::expand(options.into(), item.into()))
}

/// Registers instances of a generic task: `instantiate!(sort<u32>, sort<String>);`.
#[proc_macro]
pub fn instantiate(instances: TokenStream) -> TokenStream {
    expand(task::instantiate(instances.into()))
}
