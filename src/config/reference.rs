//! Renders the commented reference file and the tables of the reference page.

mod file;
mod page;

pub use file::render as file;
pub use page::render as tables;

use crate::config::key::{Key, Status};
use crate::config::keys::Section;
use crate::config::kind::Kind;

/// Whether nothing in it does anything yet, so that it is said once for all of its keys.
fn without_effect(section: &Section) -> bool {
    let keys = section.keys.iter();
    keys.clone().all(|key| key.status != Status::InForce)
}

/// The words that a key accepts, if its meaning does not have them already.
fn further_words(key: &Key) -> &'static [&'static str] {
    match key.kind {
        Kind::Words(words) if !words.iter().all(|word| key.meaning.contains(word)) => words,
        _ => &[],
    }
}
