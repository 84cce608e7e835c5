//! The machine we stand on: packages, image building, interfaces.
