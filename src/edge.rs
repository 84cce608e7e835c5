//! Accept loops, handshake, connection limits and deadlines, kill switch, drain; hands streams to whoever serves HTTP.
