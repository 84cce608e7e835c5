//! Which records were changed since somebody asked last, so that nobody has to read all of them.

use std::collections::BTreeSet;

/// What was changed: everything, for all we know, or these records by table and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    Everything,
    Records(BTreeSet<(&'static str, String)>),
}

impl Default for Touched {
    fn default() -> Self {
        Self::Records(BTreeSet::new())
    }
}

impl Touched {
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Records(records) if records.is_empty())
    }

    pub(super) fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Records(records), Self::Records(more)) => records.extend(more),
            (_, Self::Everything) => *self = Self::Everything,
            (Self::Everything, Self::Records(_)) => {}
        }
    }
}
