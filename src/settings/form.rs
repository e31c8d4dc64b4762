//! The types of settings: their form on the command line, and their conversion to the types of the server's parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::{
    error::SettingsError,
    parts::{LogFormat, PortName, RulesMode},
    value::{ByteSize, Share, Span},
};
use crate::{
    admission::Severity,
    node::{GroupSet, NodeGroup, Pattern},
    resource::ResourceType,
    tls::ClientAuth,
    transport::Rate,
};

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// The unit in the help of a flag.
    const UNIT: &'static str;
    /// True for a list.
    const IS_LIST: bool = false;

    /// Sets the type of the flag.
    fn typed(arg: Arg) -> Arg;

    /// The value from the flag or the environment.
    fn given(matches: &ArgMatches, key: &str) -> Option<Self>;
}

/// A value that can be set in a part of the server.
pub(super) trait Set<T> {
    /// Sets the part's field.
    fn set(self, field: &mut T) -> Result<(), SettingsError>;
}

/// A field of a part of the server, whose default is the default of the setting.
pub(super) trait Show<V> {
    /// The default; `None` where the field is unset.
    fn show(&self) -> Option<V>;
}

/// Flags with one value, parsed by the value's type.
macro_rules! values {
    ($($type:ty: $unit:literal $(, $option:ident($given:expr))*;)*) => {
        $(
            impl Value for $type {
                const UNIT: &'static str = $unit;

                fn typed(arg: Arg) -> Arg {
                    arg.value_parser(value_parser!($type))$(.$option($given))*
                }

                fn given(matches: &ArgMatches, key: &str) -> Option<Self> {
                    matches.get_one(key).cloned()
                }
            }
        )*
    };
}

values! {
    // The flag without a value means true.
    bool: "BOOL", num_args(0..=1), require_equals(true), default_missing_value("true");
    ByteSize: "SIZE";
    ClientAuth: "MODE";
    LogFormat: "FORMAT";
    NonZeroUsize: "COUNT";
    PathBuf: "FILE";
    PortName: "PORT";
    RulesMode: "MODE";
    Share: "SHARE";
    SocketAddr: "ADDR:PORT";
    Span: "DURATION";
    String: "TEXT";
    u32: "COUNT";
    usize: "COUNT";
}

// Items are separated by commas, or each has its own flag.
impl<T: Value + Clone + Send + Sync + 'static> Value for Vec<T> {
    const UNIT: &'static str = T::UNIT;
    const IS_LIST: bool = true;

    fn typed(arg: Arg) -> Arg {
        T::typed(arg).action(ArgAction::Append).value_delimiter(',')
    }

    fn given(matches: &ArgMatches, key: &str) -> Option<Self> {
        Some(matches.get_many(key)?.cloned().collect())
    }
}

// === impl Set, Show ===

/// Conversions between a setting and a field, both ways.
macro_rules! converted {
    ($($type:ty => $field:ty: |$said:ident| $set:expr, |$default:ident| $show:expr;)*) => {
        $(
            impl Set<$field> for $type {
                fn set(self, field: &mut $field) -> Result<(), SettingsError> {
                    let $said = self;
                    *field = $set;
                    Ok(())
                }
            }

            impl Show<$type> for $field {
                fn show(&self) -> Option<$type> {
                    let $default = self;
                    $show
                }
            }
        )*
    };
}

converted! {
    LogFormat => LogFormat: |format| format, |format| Some(*format);
    NonZeroUsize => NonZeroUsize: |count| count, |count| Some(*count);
    String => String: |text| text, |text| Some(text.clone());
    bool => bool: |is_on| is_on, |is_on| Some(*is_on);
    u32 => u32: |count| count, |count| Some(*count);
    usize => usize: |count| count, |count| Some(*count);
    Span => Duration: |span| span.0, |time| Some(Span(*time));
    Span => Option<Duration>: |span| Some(span.0), |time| time.map(Span);
    ByteSize => usize: |size| size.0, |bytes| Some(ByteSize(*bytes));
    ByteSize => u64: |size| size.0 as u64, |bytes| Some(ByteSize(usize::try_from(*bytes).unwrap_or(usize::MAX)));
    Share => f64: |share| share.0, |share| Some(Share(*share));
    PathBuf => Option<PathBuf>: |path| Some(path), |path| path.clone();
    u32 => Rate: |count| Rate::from(count), |rate| Some(rate.per_second);
    Vec<String> => BTreeSet<NodeGroup>:
        |names| names.iter().map(|name| name.as_str().into()).collect(),
        |groups| Some(groups.iter().map(ToString::to_string).collect());
    RulesMode => Severity: |mode| mode.into(), |severity| Some((*severity).into());
}

impl Set<GroupSet> for Vec<String> {
    fn set(self, field: &mut GroupSet) -> Result<(), SettingsError> {
        *field = self.iter().map(|pattern| Pattern::from(pattern.as_str())).collect();
        Ok(())
    }
}

impl Set<BTreeSet<ResourceType>> for Vec<String> {
    fn set(self, field: &mut BTreeSet<ResourceType>) -> Result<(), SettingsError> {
        *field = self.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Show<Vec<String>> for BTreeSet<ResourceType> {
    fn show(&self) -> Option<Vec<String>> {
        Some(self.iter().map(ToString::to_string).collect())
    }
}

// Names with their types, as in `cluster:tenant-*`.
impl Set<BTreeMap<ResourceType, Arc<[Pattern]>>> for Vec<String> {
    fn set(self, field: &mut BTreeMap<ResourceType, Arc<[Pattern]>>) -> Result<(), SettingsError> {
        let mut named: BTreeMap<ResourceType, Vec<Pattern>> = BTreeMap::new();
        for text in self {
            let (kind, name) = text
                .split_once(':')
                .ok_or_else(|| SettingsError::OnDemand(text.clone()))?;
            named.entry(kind.parse()?).or_default().push(name.into());
        }
        *field = named.into_iter().map(|(kind, names)| (kind, names.into())).collect();
        Ok(())
    }
}

impl From<RulesMode> for Severity {
    fn from(mode: RulesMode) -> Self {
        match mode {
            RulesMode::Error => Self::Error,
            RulesMode::Warn => Self::Warning,
        }
    }
}

impl From<Severity> for RulesMode {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Error,
            Severity::Warning => Self::Warn,
        }
    }
}
