//! What a value must be to travel.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that tasks and actors take and return.
///
/// Implemented for every type that has the parts: derive `Serialize`, `Deserialize` and `Clone` on yours. Within a
/// process a value is shared and not encoded; it is cloned where one who holds it by reference wants it by value.
/// Large buffers belong in [`Tensor`](crate::Tensor) or [`Buf`](crate::Buf), whose clones share memory.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a value of a task or an actor",
    label = "needs `Serialize + Deserialize + Clone + Send + Sync + 'static`",
    note = "derive `serde::Serialize`, `serde::Deserialize` and `Clone` for `{Self}`"
)]
pub trait Data: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Data for T {}

/// A type that the macros have checked to be [`Data`]: an error here takes the place of those that would follow from it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a value of a task or an actor",
    label = "needs `Serialize + Deserialize + Clone + Send + Sync + 'static`",
    note = "derive `serde::Serialize`, `serde::Deserialize` and `Clone` for `{Self}`"
)]
pub trait Value {
    type Itself;
}

#[diagnostic::do_not_recommend]
impl<T: Data> Value for T {
    type Itself = T;
}
