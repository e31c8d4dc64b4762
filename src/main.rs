//! The `chancery` binary.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Jemalloc shares freed memory between threads and returns it to the system, so that after a burst the process falls below
/// its memory budget again. The system's allocator kept 454 MB after a flood of names, and mimalloc 400 MB during one, since
/// one thread frees here what another allocated. `.cargo/config.toml` sets how soon memory is returned.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    chancery::cli::main()
}
