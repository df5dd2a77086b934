//! The thin binary: arguments to an exit code.

fn main() -> std::process::ExitCode {
    consentry::cli::main()
}
