//! The language model's server: where it is, whether it answers, what it has loaded, how many slots.
