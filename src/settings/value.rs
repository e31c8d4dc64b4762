//! Values as people write them: `10s`, `64MiB`. Flags, environment and files share one parser.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, as in `10s` or `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes, as in `64MiB`, `10MB` or `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// A share of a whole, from 0 to 1, as in `0.5` or `50%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// A text that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The text is not a length of time.
    #[error("\"{0}\" is not a duration: write it as in 10s, 500ms or 1m 30s")]
    Span(String),
    /// The text is not a number of bytes.
    #[error("\"{0}\" is not a size: write it as in 64MiB, 10MB or 4096")]
    ByteSize(String),
    /// The text is not a share.
    #[error("\"{0}\" is not a share: write it as in 0.5 or 50%")]
    Share(String),
}

/// The suffixes of sizes. A size is displayed with the largest one that divides it.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads and writes the value in files as on the command line.
macro_rules! as_text {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

// === impl Span ===

impl Span {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| ValueError::Span(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

as_text!(Span);

// === impl ByteSize ===

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ValueError::ByteSize(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let factor: usize = match unit.trim() {
            "" | "B" => 1,
            "KiB" | "Ki" => 1 << 10,
            "MiB" | "Mi" => 1 << 20,
            "GiB" | "Gi" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(refused()),
        };
        let number: usize = number.parse().map_err(|_| refused())?;
        number.checked_mul(factor).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .into_iter()
            .find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size));
        match unit {
            Some((suffix, size)) => write!(f, "{}{suffix}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

as_text!(ByteSize);

// === impl Share ===

impl Share {
    fn checked(share: f64, shown: &dyn fmt::Display) -> Result<Self, ValueError> {
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(ValueError::Share(shown.to_string()))
    }
}

impl FromStr for Share {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |_| ValueError::Share(text.to_owned());
        let share = match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim_end().parse::<f64>().map_err(refused)? / 100.0,
            None => text.trim().parse().map_err(refused)?,
        };
        Self::checked(share, &text)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given;

        impl de::Visitor<'_> for Given {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share, as in 0.5 or \"50%\"")
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
                Share::checked(share, &share).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, share: u64) -> Result<Share, E> {
                self.visit_f64(share as f64)
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
                self.visit_f64(share as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Given)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_with_their_unit() {
        for (text, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("10MB", 10_000_000, "10000000"),
            ("4096", 4096, "4KiB"),
            ("1 GiB", 1 << 30, "1GiB"),
            ("0", 0, "0"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
    }

    #[test]
    fn shares_are_numbers_or_percentages() {
        for (text, share) in [("0.5", 0.5), ("50%", 0.5), ("1", 1.0), ("0", 0.0), (" 12.5 % ", 0.125)] {
            assert_eq!(text.parse(), Ok(Share(share)), "{text}");
        }
        for text in ["", "%", "half", "1.1", "-0.1", "101%", "NaN"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        for (yaml, share) in [("0.25", 0.25), ("1", 1.0), ("\"25%\"", 0.25)] {
            assert_eq!(serde_saphyr::from_str::<Share>(yaml).unwrap(), Share(share), "{yaml}");
        }
        assert!(serde_saphyr::from_str::<Share>("2").is_err());
    }

    #[test]
    fn malformed_sizes_and_durations_say_how_to_write_them() {
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "99999999999999999999",
            "99999999999GiB",
            "1 TB",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        let error = "ten seconds".parse::<Span>().unwrap_err();
        assert!(error.to_string().contains("10s"), "{error}");
    }
}
