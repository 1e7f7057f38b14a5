//! The diagnostic log on stderr, off by default.

use tracing_subscriber::EnvFilter;

use super::safe_output::LogWriter;
use crate::render::Style;

/// The environment variable with log filters, such as `stargate=trace`.
const VARIABLE: &str = "STARGATE_LOG";

/// Starts the log by the environment variable, else by the number of `-v` flags.
pub(crate) fn start(verbose: u8, colored: bool) {
    let level = match verbose {
        0 => "off",
        1 => "stargate=info",
        2 => "stargate=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    // A second start, as in tests, keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colored)
        .with_writer(move || LogWriter(std::io::stderr(), Style::colored(colored)))
        .try_init();
}
