//! `stargate explain`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, closest};
use crate::render::Role;
use crate::render::text::wrap;
use crate::topology::fields;
use crate::topology::reference::entry;

/// Explain an error code such as SG0303, or a field of the topology
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArguments {
    /// Error code, or the path of a field of the topology
    #[arg(value_name = "CODE|FIELD")]
    pub(crate) code: String,
}

/// Prints the explanation.
pub(crate) fn run(arguments: &ExplainArguments, ui: &Ui) -> Result<u8, CliError> {
    if let Some(field) = fields::named(&arguments.code) {
        let title = ui.style().paint(Role::Title, &field.path);
        ui.data(&format!("{title}\n\n{}\n", entry(&field)))?;
        return Ok(exit::DONE);
    }
    let code: Code = arguments.code.parse().map_err(|error| unknown(&arguments.code, &error))?;
    let title = ui.style().paint(Role::Title, format!("{code}: {}", code.title()));
    let explanation = wrap(code.explanation(), "", "").join("\n");
    ui.data(&format!("{title}\n\n{explanation}\n"))?;
    Ok(exit::DONE)
}

fn unknown(text: &str, error: &crate::diagnostics::UnknownCode) -> CliError {
    let near = closest(&text.to_uppercase(), Code::ALL.into_iter().map(Code::as_str));
    let remedy = match near {
        Some(code) => format!("did you mean `{code}`?"),
        None => {
            "errors and warnings print their code in brackets, as in `error[SG0303]`".to_owned()
        }
    };
    CliError::new(error.to_string()).remedy(remedy).exit(exit::USAGE)
}
