//! Prints the errors of the argument parser.

use std::io::{self, IsTerminal, Write};

use crate::render::text::wrap_lines;
use crate::render::{Role, Style};

use super::safe_output::printable;
use super::ui::columns;

/// Prints help as the parser renders it, and errors within the width.
pub(super) fn print(error: &clap::Error) {
    if !error.use_stderr() {
        // If the message cannot be written, the exit code remains.
        return drop(error.print());
    }
    let colored = io::stderr().is_terminal()
        && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let style = Style::colored(colored);
    let text = render(&error.render().to_string(), columns(), style);
    drop(io::stderr().write_all(printable(&text, style).as_bytes()));
}

fn render(text: &str, columns: usize, style: Style) -> String {
    let wrapped = wrap_lines(columns, text);
    wrapped.replacen("error:", &style.paint(Role::Error, "error:"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_parser_are_wrapped() {
        let text = "error: invalid value 'foo/bar' for '--replace <ADDRESS>': `foo/bar` is not an \
                    address such as `route-table/cluster/stargate-workers-rt`\n\n\
                    For more information, try '--help'.\n";
        assert_eq!(
            render(text, 80, Style::Plain),
            "error: invalid value 'foo/bar' for '--replace <ADDRESS>': `foo/bar` is not an\n  \
             address such as `route-table/cluster/stargate-workers-rt`\n\n\
             For more information, try '--help'.\n"
        );
    }
}
