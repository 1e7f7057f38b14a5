//! The values of `[rollout]`.

use stargate::diagnostics::Code;
use stargate::topology::load::load_text;

use crate::bad_input::{GOOD, only};

#[test]
fn widths_of_a_rollout() {
    let with = |width: &str| format!("{GOOD}\n[rollout]\nwidth = {width}\n");
    for width in ["1", "64", "\"1%\"", "\"100%\""] {
        let loaded = load_text("stargate.toml", &with(width));
        assert!(loaded.is_ok(), "{width}: {loaded:?}");
    }
    for (width, code) in [
        ("0", Code::OutOfBounds),
        ("65", Code::OutOfBounds),
        ("-1", Code::OutOfBounds),
        ("\"0%\"", Code::OutOfBounds),
        ("\"101%\"", Code::OutOfBounds),
        ("\"8\"", Code::UnknownValue),
        ("\"ten\"", Code::UnknownValue),
        ("\"-5%\"", Code::UnknownValue),
        ("\"2.5%\"", Code::UnknownValue),
        ("0.1", Code::WrongType),
        ("true", Code::WrongType),
    ] {
        only(&with(width), code);
    }
}
