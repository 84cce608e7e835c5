//! Starting logs.
