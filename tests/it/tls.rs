//! Certificates: what the authority can sign for, renewal under open connections, files that change,
//! and the test of a browser.

mod files;
mod house;
mod renewal;
mod scope;
mod self_test;
