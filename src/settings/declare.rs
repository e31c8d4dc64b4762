//! The declaration of settings. One entry of [`section!`] is the field of a layer, the key of the file, the flag, the
//! environment variable, the help, the default and the row of `docs/configuration.md`.
//!
//! A table of our own, since `figment` merges untyped maps, which lose the line and column of a mistake, and clap's derive
//! wants each name written three times and knows no defaults of other modules.

use clap::{Arg, ArgMatches};
use serde_json::Value as Json;

use super::{error::SettingsError, form::Value, parts::Parts};

/// The facts of one setting that do not depend on what it is set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// As in the file: `fleet.max_nodes`.
    pub(super) key: &'static str,
    /// The meaning, as the row of the page has it; its first clause is the help of the flag.
    pub(super) text: &'static str,
    /// The unit of the value in the help: `COUNT`.
    pub(super) unit: &'static str,
    /// The environment variable, where it is not named after the key.
    pub(super) env: Option<&'static str>,
    /// The default in words, where it follows from other settings.
    pub(super) shown: Option<&'static str>,
    /// Whether it has several values.
    pub(super) is_list: bool,
    /// Gives the flag its type; `None` for what only the file can say.
    pub(super) typed: Option<fn(Arg) -> Arg>,
}

/// Some settings of one layer, each said or not.
pub(super) trait Section: Sized {
    /// Every setting of the section, in the order of the declaration.
    fn settings() -> Vec<Setting>;

    /// The settings that flags and environment give.
    fn given(matches: &ArgMatches) -> Self;

    /// The defaults, those of the server's parts among them.
    fn defaults(parts: &Parts) -> Self;

    /// This layer, and where it says nothing the one below.
    fn over(self, below: Self) -> Self;

    /// Whether nothing is said.
    fn is_silent(&self) -> bool;

    /// Tells the parts of the server what is said.
    fn apply(&self, parts: &mut Parts) -> Result<(), SettingsError>;
}

/// Declares a section: its struct, named as the prefix of its keys says, and its settings. An entry reads
/// ```text
/// /// meaning, up to the first `;` or `.` the help of the flag; all of it is the row in docs/configuration.md
/// #[unit = "DIR"]        // the unit, where the type's own does not fit
/// #[env = "CHANCERY_X"]  // the variable, where it is not named after the key
/// #[shown = "in words"]  // the default in words, where it follows from other settings
/// #[check = function]    // the range of the value
/// name: Type = default => part.of.the.server, another.part;
/// ```
/// A default that is left out is that of the first part. Without both a setting has none. A default without a part is read
/// by the method of the same name. `with tls` adds the settings of a port's TLS; `file` lists what only the file can say.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident in $prefix:literal with tls { $($own:tt)* }) => {
        section! {
            $(#[doc = $about])+
            $name in $prefix {
                /// certificate of this port, with those between it and its CA (PEM); followed as it changes
                tls_cert: PathBuf;
                /// private key of that certificate (PEM)
                tls_key: PathBuf;
                /// CAs that sign the certificates of clients: PEM, or a SPIFFE trust bundle (JSON)
                client_ca: PathBuf;
                /// certificates of clients that were revoked: a list (CRL, PEM or DER) of each of these CAs and of those
                /// between them and clients; followed as it changes
                crl: PathBuf;
                /// certificate of a client: it must show one (`require`), may (`request`), or is not asked (`none`)
                #[shown = "`require` with a CA, else `none`"]
                client_auth: ClientAuth;
                $($own)*
            }
        }

        impl $name {
            pub(super) const fn tls(&self) -> TlsFiles<'_> {
                TlsFiles {
                    cert: self.tls_cert.as_ref(),
                    key: self.tls_key.as_ref(),
                    client_ca: self.client_ca.as_ref(),
                    crl: self.crl.as_ref(),
                    client_auth: self.client_auth,
                }
            }
        }
    };
    ($(#[doc = $about:literal])+ $name:ident in $prefix:literal { $($own:tt)* }) => {
        section! { $(#[doc = $about])+ $name in $prefix { $($own)* } sections {} file {} }
    };
    (
        $(#[doc = $about:literal])+
        $name:ident in $prefix:literal {
            $(
                $(#[doc = $doc:literal])+
                $(#[unit = $unit:literal])?
                $(#[env = $env:literal])?
                $(#[shown = $shown:literal])?
                $(#[check = $check:path])?
                $field:ident: $type:ty $(= $default:expr)? $(=> $($place:ident).+ $(, $($also:ident).+)*)?;
            )*
        }
        sections { $($(#[doc = $of:literal])+ $part:ident: $layer:ty;)* }
        file { $($(#[doc = $note:literal])+ $only:ident: $kind:ty;)* }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            $(
                $(#[doc = $of])+
                #[serde(skip_serializing_if = "crate::settings::declare::Section::is_silent")]
                pub $part: $layer,
            )*
            $(
                $(#[doc = $note])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $only: Option<$kind>,
            )*
        }

        impl $crate::settings::declare::Section for $name {
            fn settings() -> Vec<$crate::settings::declare::Setting> {
                #[allow(unused_mut, reason = "not every section has others in it")]
                let mut all = vec![
                    $($crate::settings::declare::Setting {
                        key: concat!($prefix, stringify!($field)),
                        text: concat!($($doc, "\n"),+),
                        unit: optional!($($unit)?).unwrap_or(<$type as $crate::settings::form::Value>::UNIT),
                        env: optional!($($env)?),
                        shown: optional!($($shown)?),
                        is_list: <$type as $crate::settings::form::Value>::IS_LIST,
                        typed: Some(<$type as $crate::settings::form::Value>::typed),
                    },)*
                    $($crate::settings::declare::Setting {
                        key: concat!($prefix, stringify!($only)),
                        text: concat!($($note, "\n"),+),
                        unit: "",
                        env: None,
                        shown: None,
                        is_list: false,
                        typed: None,
                    },)*
                ];
                $(all.extend(<$layer as $crate::settings::declare::Section>::settings());)*
                all
            }

            fn given(matches: &clap::ArgMatches) -> Self {
                Self {
                    $($field: $crate::settings::declare::given(matches, concat!($prefix, stringify!($field))),)*
                    $($part: $crate::settings::declare::Section::given(matches),)*
                    $($only: None,)*
                }
            }

            fn defaults(_parts: &$crate::settings::parts::Parts) -> Self {
                Self {
                    $($field: default_of!(_parts, $(= $default)? $(=> $($place).+)?),)*
                    $($part: $crate::settings::declare::Section::defaults(_parts),)*
                    $($only: None,)*
                }
            }

            fn over(self, below: Self) -> Self {
                Self {
                    $($field: self.$field.or(below.$field),)*
                    $($part: $crate::settings::declare::Section::over(self.$part, below.$part),)*
                    $($only: self.$only.or(below.$only),)*
                }
            }

            fn is_silent(&self) -> bool {
                true $(&& self.$field.is_none())* $(&& self.$part.is_silent())* $(&& self.$only.is_none())*
            }

            fn apply(&self, _parts: &mut $crate::settings::parts::Parts) -> Result<(), $crate::settings::error::SettingsError> {
                $(
                    if let Some(_said) = &self.$field {
                        $($check(concat!($prefix, stringify!($field)), _said)?;)?
                        $(
                            $crate::settings::form::Set::set(_said.clone(), &mut _parts.$($place).+)?;
                            $($crate::settings::form::Set::set(_said.clone(), &mut _parts.$($also).+)?;)*
                        )?
                    }
                )*
                $(self.$part.apply(_parts)?;)*
                Ok(())
            }
        }

        impl $name {
            $(getter! { $(#[doc = $doc])+ $field: $type, $(= $default)? $(=> $($place).+)? })*
        }
    };
}

/// `Some` of what is there.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// The default of an entry.
macro_rules! default_of {
    ($parts:ident,) => {
        None
    };
    ($parts:ident, = $default:expr $(=> $($place:ident).+)?) => {
        Some($default)
    };
    ($parts:ident, => $($place:ident).+) => {
        $crate::settings::form::Show::show(&$parts.$($place).+)
    };
}

/// The method that reads a setting that no part of the server has.
macro_rules! getter {
    ($(#[doc = $doc:literal])+ $field:ident: $type:ty, = $default:expr) => {
        $(#[doc = $doc])+
        #[must_use]
        pub fn $field(&self) -> $type {
            self.$field.clone().unwrap_or_else(|| $default)
        }
    };
    ($(#[doc = $doc:literal])+ $field:ident: $type:ty, $($rest:tt)*) => {};
}

pub(super) use {default_of, getter, optional, section};

// === impl Setting ===

impl Setting {
    /// The flag, without its dashes.
    pub(super) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        let named = || format!("CHANCERY_{}", self.key.replace('.', "_").to_uppercase());
        self.env.map_or_else(named, str::to_owned)
    }

    /// The meaning on one line.
    pub(super) fn meaning(&self) -> String {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let how = if self.is_list {
            "; a list in the file, comma-separated elsewhere"
        } else {
            ""
        };
        text + how
    }

    /// The default as the page has it, of those of all.
    pub(super) fn default(&self, defaults: &Json) -> String {
        let value = || defaults.pointer(&format!("/{}", self.key.replace('.', "/")));
        self.shown.map_or_else(|| written(value()), str::to_owned)
    }

    /// The flag; its short help is the first clause of the meaning.
    pub(super) fn arg(&self, defaults: &Json) -> Option<Arg> {
        let typed = self.typed?;
        let meaning = capitalized(&without_links(&self.meaning()));
        let clause = meaning
            .find("; ")
            .or_else(|| meaning.find(". "))
            .unwrap_or(meaning.len());
        let default = self.default(defaults).replace('`', "");
        let arg = Arg::new(id(self.key))
            .long(self.flag())
            .env(self.variable())
            .value_name(self.unit)
            .help(meaning[..clause].to_owned())
            .long_help(format!("{meaning} [default: {default}]"));
        Some(typed(arg))
    }
}

/// A value as the page has it.
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

/// The name of a setting among the arguments.
fn id(key: &str) -> String {
    key.replace('.', "_")
}

/// The value that flag or environment give of a setting.
pub(super) fn given<T: Value>(matches: &ArgMatches, key: &str) -> Option<T> {
    T::given(matches, &id(key))
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
