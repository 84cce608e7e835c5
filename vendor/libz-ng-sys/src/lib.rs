//! Stands in for `libz-ng-sys`, which pingora asks for and whose build needs cmake. The same
//! functions come from zlib, which a C compiler alone can build. THON compresses nothing itself:
//! the speed of zlib-ng would buy nothing.

pub use libz_sys::*;
