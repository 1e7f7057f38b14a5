//! Colours by meaning, and none where they are not wanted.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Escape};

use crate::plan::Action;

/// What a piece of text means; the colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A change of that action, and its sign.
    Action(Action),
    /// A title.
    Title,
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warning,
    /// What to do.
    Help,
    /// What went well.
    Good,
    /// What may be skipped when reading.
    Quiet,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No escapes at all: logs, files and snapshots.
    #[default]
    Plain,
    /// ANSI escapes.
    Coloured,
}

impl Style {
    /// The style for a channel that takes colours or does not.
    pub fn coloured(coloured: bool) -> Self {
        if coloured { Self::Coloured } else { Self::Plain }
    }

    /// Gives the text the colour of its meaning.
    pub fn paint(self, role: Role, text: impl Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Coloured => {
                let escape = escape(role);
                format!("{escape}{text}{escape:#}")
            }
        }
    }
}

fn escape(role: Role) -> Escape {
    let colour = |colour: AnsiColor| colour.on_default();
    match role {
        Role::Action(Action::Create) | Role::Good => colour(AnsiColor::Green),
        Role::Action(Action::Update | Action::Reboot) => colour(AnsiColor::Yellow),
        Role::Action(Action::Replace) => colour(AnsiColor::Magenta),
        Role::Action(Action::Delete) => colour(AnsiColor::Red),
        Role::Action(Action::Adopt) => colour(AnsiColor::Blue),
        Role::Title => Escape::new().effects(Effects::BOLD),
        Role::Error => colour(AnsiColor::Red).effects(Effects::BOLD),
        Role::Warning => colour(AnsiColor::Yellow).effects(Effects::BOLD),
        Role::Help => colour(AnsiColor::Cyan),
        Role::Quiet => Escape::new().effects(Effects::DIMMED),
    }
}
