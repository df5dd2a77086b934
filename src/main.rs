//! The thin binary: arguments to an exit code.

/// Every page takes and gives back many pieces of memory, and the system's allocator returns them to the kernel and
/// asks for them again with each request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    consentry::cli::main()
}
