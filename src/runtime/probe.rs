//! Asks an editor whether it answers.
