//! Every environment variable in one list.
