//! The log for those who look for a fault: to stderr, and off by default.

use tracing_subscriber::EnvFilter;

use super::safe_output::LogWriter;

/// The variable that sets filters, as in `stargate=trace`.
const VARIABLE: &str = "STARGATE_LOG";

/// Sets up the log by the variable, else by how often `-v` was given.
pub(crate) fn start(verbose: u8, coloured: bool) {
    let level = match verbose {
        0 => "off",
        1 => "stargate=info",
        2 => "stargate=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    // A second start, as in a test, leaves the first log as it is.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(coloured)
        .with_writer(|| LogWriter(std::io::stderr()))
        .try_init();
}
