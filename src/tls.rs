//! Certificates for the listeners, by server name.
