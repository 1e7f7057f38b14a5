//! The door to the tailnet.
