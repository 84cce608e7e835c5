//! Wire types of the admin API, shared by the server and the command line.
