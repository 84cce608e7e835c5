//! Router of the participants' pages.
