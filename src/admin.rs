//! The organizers' door: router of the admin API.
