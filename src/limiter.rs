//! Who may send how much to the language model: token limits that are exact, slots that are shared fairly.

pub mod queue;
