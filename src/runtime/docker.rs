//! Adapter for the Docker Engine, through bollard.
