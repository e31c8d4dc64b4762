//! The stored measurements: raw samples of each scenario, from which every table is made.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// `results.json`: the last run of each scenario.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) scenarios: BTreeMap<u8, Outcome>,
}

/// One run of one scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) environment: Environment,
    /// True for the short form.
    pub(crate) quick: bool,
    pub(crate) seconds: f64,
    /// The reason why samples are missing.
    pub(crate) error: Option<String>,
    /// Remarks that a reader must know: rounds left out, peers that failed.
    pub(crate) notes: Vec<String>,
    pub(crate) samples: Vec<Sample>,
}

/// The machine and the versions of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) kernel: String,
    /// Versions of the measured programs, and of the generator.
    pub(crate) versions: Vec<String>,
    /// True if server and generator had a core each.
    pub(crate) pinned: bool,
}

/// One metric of one peer in one case; a value per round, or per commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) metric: String,
    /// Written on one line of the file.
    #[serde(with = "one_line")]
    pub(crate) values: Vec<f64>,
}

mod one_line {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(f64::to_string).collect();
        serializer.serialize_str(&texts.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_whitespace()
            .map(|value| value.parse().map_err(D::Error::custom))
            .collect()
    }
}

/// A longer list of values is reduced to this number of quantiles plus one, a resolution of one thousandth.
const KEPT: usize = 1000;

// === impl Results ===

impl Results {
    /// Reads the stored results, or empty ones without a file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not what the harness wrote", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn add(&mut self, case: &str, peer: &str, metric: &str, value: f64) {
        // Two digits more than a reader needs.
        let value = if value == 0.0 || !value.is_finite() {
            0.0
        } else {
            let digits = 4 - value.abs().log10().floor() as i32;
            let scale = 10_f64.powi(digits);
            (value * scale).round() / scale
        };
        let same = |sample: &&mut Sample| sample.case == case && sample.peer == peer && sample.metric == metric;
        match self.samples.iter_mut().find(same) {
            Some(sample) => sample.values.push(value),
            None => self.samples.push(Sample {
                case: case.to_owned(),
                peer: peer.to_owned(),
                metric: metric.to_owned(),
                values: vec![value],
            }),
        }
    }

    /// Adds a value per commit: all of them, or their quantiles if there are many.
    pub(crate) fn add_all(&mut self, case: &str, peer: &str, metric: &str, values: &[f64]) {
        if values.len() <= KEPT {
            values.iter().for_each(|value| self.add(case, peer, metric, *value));
            return;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        for share in 0..=KEPT {
            self.add(case, peer, metric, sorted[share * (sorted.len() - 1) / KEPT]);
        }
    }

    pub(crate) fn values(&self, case: &str, peer: &str, metric: &str) -> &[f64] {
        let same = |sample: &&Sample| sample.case == case && sample.peer == peer && sample.metric == metric;
        self.samples.iter().find(same).map_or(&[], |sample| &sample.values)
    }

    pub(crate) fn median(&self, case: &str, peer: &str, metric: &str) -> Option<f64> {
        quantile(self.values(case, peer, metric), 0.5)
    }

    /// The quotients of two peers' rounds: median, least and most.
    pub(crate) fn ratio(&self, case: &str, metric: &str, peer: &str, of: &str) -> Option<Ratio> {
        let (ours, theirs) = (self.values(case, peer, metric), self.values(case, of, metric));
        let quotients: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .filter(|(_, theirs)| **theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Ratio::of(&quotients)
    }

    /// The cases, in the order of the run.
    pub(crate) fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !cases.contains(&&*sample.case) {
                cases.push(&sample.case);
            }
        }
        cases
    }
}

/// Median and range of a quotient over the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Ratio {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: quantile(values, 0.5)?,
            least: quantile(values, 0.0)?,
            most: quantile(values, 1.0)?,
        })
    }
}

/// The value below which the share `q` of the values is.
pub(crate) fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = q * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * (at - at.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0], 0.5), Some(1.5));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn ratios_compare_round_with_round() {
        let mut outcome = Outcome::default();
        for (ours, theirs) in [(1.0, 2.0), (3.0, 3.0), (2.0, 1.0)] {
            outcome.add("case", "a", "cpu", ours);
            outcome.add("case", "b", "cpu", theirs);
        }
        let ratio = outcome.ratio("case", "cpu", "a", "b").unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.5, 1.0, 2.0));
    }

    #[test]
    fn values_keep_their_leading_digits() {
        let mut outcome = Outcome::default();
        outcome.add("case", "a", "x", 1_234_567.891);
        outcome.add("case", "a", "x", 0.000_123_456_789);
        assert_eq!(outcome.values("case", "a", "x"), [1_234_600.0, 0.000_123_46]);
    }

    #[test]
    fn samples_come_back_from_their_file() {
        let mut results = Results::default();
        let mut outcome = Outcome::default();
        outcome.add_all("case", "a", "few", &[1.5, 0.25]);
        let many: Vec<f64> = (0..5000).map(f64::from).collect();
        outcome.add_all("case", "a", "many", &many);
        results.scenarios.insert(3, outcome);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/results.json");
        results.save(&file).unwrap();
        let back = Results::load(&file).unwrap();
        assert_eq!(back.scenarios[&3].values("case", "a", "few"), [1.5, 0.25]);
        let kept = back.scenarios[&3].values("case", "a", "many");
        assert_eq!(
            (kept.len(), kept[0], kept[999], kept[1000]),
            (1001, 0.0, 4994.0, 4999.0)
        );
        assert!(
            Results::load(&folder.path().join("none.json"))
                .unwrap()
                .scenarios
                .is_empty()
        );
    }
}
