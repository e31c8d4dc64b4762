//! One setting's metadata: its flag, its environment variable, its help, and its row in `docs/configuration.md`.

use clap::Arg;
use serde_json::Value as Json;

/// The metadata of one setting, which does not depend on its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// The key in the file: `fleet.max_nodes`.
    pub(super) key: &'static str,
    /// The meaning, as in the row of the page; its first clause is the help of the flag.
    pub(super) text: &'static str,
    /// The unit of the value in the help: `COUNT`.
    pub(super) unit: &'static str,
    /// The environment variable, if it is not named after the key.
    pub(super) env: Option<&'static str>,
    /// The default in words, if it follows from other settings.
    pub(super) shown: Option<&'static str>,
    /// True for a list.
    pub(super) is_list: bool,
    /// Sets the type of the flag; `None` for a setting that only the file has.
    pub(super) typed: Option<fn(Arg) -> Arg>,
}

// === impl Setting ===

impl Setting {
    /// The flag, without its dashes.
    fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable.
    fn variable(&self) -> String {
        let named = || format!("CHANCERY_{}", self.key.replace('.', "_").to_uppercase());
        self.env.map_or_else(named, str::to_owned)
    }

    /// The meaning on one line.
    fn meaning(&self) -> String {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let how = if self.is_list {
            "; a list in the file, comma-separated elsewhere"
        } else {
            ""
        };
        text + how
    }

    /// The default as in the page, looked up in all `defaults`.
    fn default(&self, defaults: &Json) -> String {
        let value = || defaults.pointer(&format!("/{}", self.key.replace('.', "/")));
        self.shown.map_or_else(|| written(value()), str::to_owned)
    }

    /// The row on the page.
    #[cfg(test)]
    pub(super) fn row(&self, defaults: &Json) -> String {
        let (key, default, meaning) = (self.key, self.default(defaults), self.meaning());
        if self.typed.is_none() {
            return format!("| `{key}` | {default} | {meaning} |");
        }
        let (flag, variable) = (self.flag(), self.variable());
        format!("| `{key}` | `--{flag}` | `{variable}` | {default} | {meaning} |")
    }

    /// The flag; its short help is the first clause of the meaning.
    pub(super) fn arg(&self, defaults: &Json) -> Option<Arg> {
        let typed = self.typed?;
        let meaning = capitalized(&without_links(&self.meaning()));
        let ends = [meaning.find("; "), meaning.find(". ")];
        let clause = ends.into_iter().flatten().min().unwrap_or(meaning.len());
        let default = self.default(defaults).replace('`', "");
        let arg = Arg::new(self.key)
            .long(self.flag())
            .env(self.variable())
            .value_name(self.unit)
            .help(meaning[..clause].to_owned())
            .long_help(format!("{meaning} [default: {default}]"));
        Some(typed(arg))
    }
}

/// A value as in the page.
fn written(value: Option<&Json>) -> String {
    let text = match value {
        None | Some(Json::Null) => return "none".to_owned(),
        Some(Json::Array(items)) if items.is_empty() => return "none".to_owned(),
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(","),
        Some(Json::String(text)) => text.clone(),
        Some(value @ (Json::Bool(_) | Json::Number(_) | Json::Object(_))) => value.to_string(),
    };
    format!("`{text}`")
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `[this](page)` becomes `this`: links lead nowhere in a terminal.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (label, after))) = rest
        .split_once('[')
        .and_then(|(before, link)| Some((before, link.split_once("](")?)))
    {
        plain.extend([before, label]);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}
