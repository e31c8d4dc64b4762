//! The `chancery` binary.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Its threads share what they free, and it gives that back to the system: after a burst the process is not above its memory
/// budget for good. The system's own allocator kept 454 MB after a flood of names, and mimalloc 400 MB while one went on, since
/// what one thread makes here is freed by another. `.cargo/config.toml` says how soon memory is given back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    chancery::cli::main()
}
