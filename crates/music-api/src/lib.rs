//! The JSON shapes of MUSIC's native HTTP API, /v1.
