//! A worker's life as typed steps.
