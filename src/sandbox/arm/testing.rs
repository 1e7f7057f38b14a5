//! Drives requests in tests.
