//! The declaration of settings. One entry of [`section!`] makes the field of a layer, the key of the file, the flag, the
//! environment variable, the help, the default and the row of `docs/configuration.md`.
//!
//! This is a macro of our own, since `figment` merges untyped maps, which lose the line and column of a mistake, and clap's
//! derive wants each name three times and knows no defaults of other modules.

use clap::ArgMatches;

use super::{error::SettingsError, parts::Parts, setting::Setting};

/// Some settings of one layer; each may be unset.
pub(super) trait Section: Sized {
    /// Every setting of the section, in the order of the declaration.
    fn settings() -> Vec<Setting>;

    /// Reads the settings from flags and environment.
    fn given(matches: &ArgMatches) -> Self;

    /// The defaults, including those of the server's parts.
    fn defaults(parts: &Parts) -> Self;

    /// Merges this layer over the one below.
    fn over(self, below: Self) -> Self;

    /// Returns true if nothing is set.
    fn is_silent(&self) -> bool;

    /// Sets the fields of the server's parts.
    fn apply(&self, parts: &mut Parts) -> Result<(), SettingsError>;
}

/// Declares a section: its struct, the prefix of its keys, and its settings. An entry reads
/// ```text
/// /// meaning, up to the first `;` or `.` the help of the flag; all of it is the row in docs/configuration.md
/// #[unit = "DIR"]        // the unit, where the type's own does not fit
/// #[env = "CHANCERY_X"]  // the variable, where it is not named after the key
/// #[shown = "in words"]  // the default in words, where it follows from other settings
/// #[check = function]    // the range of the value
/// name: Type = default => part.of.the.server, another.part;
/// ```
/// Without a default, the default is that of the first part; without both there is none. A setting without a part is read
/// by the method of its name. `with tls` adds the settings of a port's TLS; `file` lists settings that only the file has.
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
            fn settings() -> Vec<$crate::settings::setting::Setting> {
                #[allow(unused_mut, reason = "not every section has others in it")]
                let mut all = vec![
                    $($crate::settings::setting::Setting {
                        key: concat!($prefix, stringify!($field)),
                        text: concat!($($doc, "\n"),+),
                        unit: optional!($($unit)?).unwrap_or(<$type as $crate::settings::form::Value>::UNIT),
                        env: optional!($($env)?),
                        shown: optional!($($shown)?),
                        is_list: <$type as $crate::settings::form::Value>::IS_LIST,
                        typed: Some(<$type as $crate::settings::form::Value>::typed),
                    },)*
                    $($crate::settings::setting::Setting {
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
                    $($field: $crate::settings::form::Value::given(matches, concat!($prefix, stringify!($field))),)*
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

/// `Some` where there is an item.
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

/// The method that reads a setting without a part.
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
