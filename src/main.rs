//! Entry point: hand the arguments to `cli`, turn the outcome into an exit code.

fn main() {}
