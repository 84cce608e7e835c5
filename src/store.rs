//! `Store`: open, migrate, read and write transactions on redb.
