//! What is known of the wire formats of language models: requests, usage, streams, errors; nothing more.
