//! Plans of thousands of workers: the order of their changes, and the files that keep them.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]

#[path = "../../benches/planning/fixture.rs"]
#[expect(dead_code, reason = "the benchmark that it is shared with uses more of it")]
mod fixture;
#[path = "../netns/rng.rs"]
#[expect(dead_code, reason = "the packet tests that it is shared with use more of it")]
mod rng;
mod safe_order;
mod saved_plan;
