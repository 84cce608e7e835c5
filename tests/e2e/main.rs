//! The story of a participant, in a real browser, with a real Docker.

mod runtime;
