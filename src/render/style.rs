//! Colours by meaning.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Escape};

use crate::plan::Action;

/// The meaning of a piece of text, which selects its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A change of that action, and its sign.
    Action(Action),
    /// A title.
    Title,
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// A remedy.
    Help,
    /// A good result.
    Good,
    /// Secondary detail.
    Quiet,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No escapes.
    #[default]
    Plain,
    /// ANSI escapes.
    Coloured,
}

impl Style {
    /// [`Style::Coloured`] if `coloured`, else [`Style::Plain`].
    pub fn coloured(coloured: bool) -> Self {
        if coloured { Self::Coloured } else { Self::Plain }
    }

    /// Colours the text by its role.
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
