//! The file exactly as written: serde structs, no logic.
