//! The `chancery` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's own keeps what was freed once: after a burst the process would stay above its memory budget for good.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    chancery::cli::main()
}
