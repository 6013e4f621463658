//! Code that runs before `main`.

/// Has the loader call a `fn()` on the first thread before the program's `main`, as it calls any initializer.
///
/// For a child of the program that is to be something else than its parent. The standard library's arguments,
/// environment, threads and files work then; initializers of C++ libraries linked into the program may still be to come.
///
/// Gives `keep()`, to be called by whatever needs the initializer: the linker leaves out what nobody refers to.
#[macro_export]
macro_rules! initializer {
    ($function:ident) => {
        extern "C" fn initializer() {
            $function();
        }

        /// Keeps the initializer in the program.
        fn keep() {
            // A pointer in the section whose pointers the loader calls, once each.
            #[allow(unsafe_code)]
            #[used]
            #[unsafe(link_section = ".init_array")]
            static INITIALIZER: extern "C" fn() = initializer;
            ::std::hint::black_box(&INITIALIZER);
        }
    };
}
