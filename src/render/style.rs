//! Colors by meaning.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Escape};

use crate::plan::Action;

/// The meaning of a piece of text, which selects its color.
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

/// Whether text is colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No escapes.
    #[default]
    Plain,
    /// ANSI escapes.
    Colored,
}

impl Style {
    /// [`Style::Colored`] if `colored`, else [`Style::Plain`].
    pub fn colored(colored: bool) -> Self {
        if colored { Self::Colored } else { Self::Plain }
    }

    /// Colors the text by its role.
    pub fn paint(self, role: Role, text: impl Display) -> String {
        match self {
            Self::Plain => text.to_string(),
            Self::Colored => {
                let escape = escape(role);
                format!("{escape}{text}{escape:#}")
            }
        }
    }
}

fn escape(role: Role) -> Escape {
    let color = |color: AnsiColor| color.on_default();
    match role {
        Role::Action(Action::Create) | Role::Good => color(AnsiColor::Green),
        Role::Action(Action::Update | Action::Reboot) => color(AnsiColor::Yellow),
        Role::Action(Action::Replace) => color(AnsiColor::Magenta),
        Role::Action(Action::Delete) => color(AnsiColor::Red),
        Role::Action(Action::Adopt) => color(AnsiColor::Blue),
        Role::Title => Escape::new().effects(Effects::BOLD),
        Role::Error => color(AnsiColor::Red).effects(Effects::BOLD),
        Role::Warning => color(AnsiColor::Yellow).effects(Effects::BOLD),
        Role::Help => color(AnsiColor::Cyan),
        Role::Quiet => Escape::new().effects(Effects::DIMMED),
    }
}
