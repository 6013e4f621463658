//! The reactor behind asynchronous tasks: tokio's timers and sockets work inside them.

use std::sync::LazyLock;
use tokio::runtime::Handle;

/// Started with the first asynchronous task; one thread, which sleeps while nothing is due.
static REACTOR: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the process may open an epoll descriptor");
    let handle = runtime.handle().clone();
    let drive = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("rayline-io".into()).spawn(drive).expect("the process may start a thread");
    handle
});

/// Calls `poll` where tokio's timers and sockets find their reactor.
pub(crate) fn within(poll: &mut dyn FnMut()) {
    let _guard = REACTOR.enter();
    poll();
}
