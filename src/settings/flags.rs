//! The settings as flags and environment variables.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::Value as Json;

use super::{declare::Section as _, layer::Layer};

/// Every default, under its key.
pub(super) fn defaults() -> Json {
    serde_json::to_value(Layer::default_values()).unwrap_or_default()
}

// === impl Layer ===

impl Args for Layer {
    fn augment_args(command: Command) -> Command {
        let (settings, defaults) = (Self::settings(), defaults());
        command
            .args(settings.iter().filter_map(|setting| setting.arg(&defaults)))
            .mut_arg("ephemeral", |arg| arg.conflicts_with("data_dir"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Layer {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::given(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::given(matches).or(std::mem::take(self));
        Ok(())
    }
}
