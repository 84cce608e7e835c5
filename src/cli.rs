//! The command line: one variant a command.
