//! In-memory adapter with injectable faults, for tests.
