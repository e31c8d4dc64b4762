//! `docs/benchmarks.md` and its plots, made from `results.json` alone.

mod page;
mod plot;

pub(crate) use self::page::write;
use crate::{
    peer::PeerKind,
    results::{Outcome, Ratio, quantile},
};

/// The section of the page about one scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) paragraphs: Vec<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) targets: Vec<Target>,
    pub(crate) plots: Vec<Plot>,
}

/// A table with its caption.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A target, and its measured value.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) measured: Option<Ratio>,
    pub(crate) bound: f64,
    /// True if the bound is a minimum, not a maximum.
    pub(crate) at_least: bool,
}

/// A diagram of lines.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// The file name in `docs/benchmarks/`.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) logarithmic: (bool, bool),
    pub(crate) series: Vec<Series>,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

// === impl Section ===

impl Section {
    pub(crate) fn text(&mut self, paragraph: &str) {
        self.paragraphs.push(paragraph.to_owned());
    }

    pub(crate) fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.tables.push(table);
        }
    }
}

// === impl Table ===

impl Table {
    pub(crate) fn new(caption: &str, columns: &[&str]) -> Self {
        Self {
            caption: caption.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

// === impl Target ===

impl Target {
    pub(crate) const fn at_most(what: String, measured: Option<Ratio>, bound: f64) -> Self {
        Self {
            what,
            measured,
            bound,
            at_least: false,
        }
    }

    pub(crate) const fn at_least(what: String, measured: Option<Ratio>, bound: f64) -> Self {
        Self {
            what,
            measured,
            bound,
            at_least: true,
        }
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        let measured = self.measured?.median;
        Some(if self.at_least {
            measured >= self.bound
        } else {
            measured <= self.bound
        })
    }
}

/// The number with three significant digits.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => 5,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 2 {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The median, and the range if there is more than one value.
pub(crate) fn spread(values: &[f64]) -> String {
    match (quantile(values, 0.0), quantile(values, 0.5), quantile(values, 1.0)) {
        (Some(least), Some(median), Some(most)) if values.len() > 1 => {
            format!("{} ({}–{})", figure(median), figure(least), figure(most))
        }
        (_, Some(median), _) => figure(median),
        _ => "–".to_owned(),
    }
}

/// A row per case: µs of every peer, and Chancery's quotient with each.
pub(crate) fn cpu_table(outcome: &Outcome, peers: &[PeerKind], metric: &str) -> Table {
    let mut table = Table::new(
        "Server CPU in µs per push, ACK and commit included: median (range) of the rounds. In brackets: Chancery ÷ peer, median (range)",
        &["case"],
    );
    table.columns.extend(peers.iter().map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let mut row = vec![case.to_owned()];
        for peer in peers {
            let mut cell = spread(outcome.values(case, peer.name(), metric));
            let ratio = outcome.ratio(case, metric, PeerKind::Chancery.name(), peer.name());
            if let (Some(ratio), false) = (ratio, *peer == PeerKind::Chancery) {
                let (least, most) = (figure(ratio.least), figure(ratio.most));
                cell = format!("{cell} [**{}** ({least}–{most})]", figure(ratio.median));
            }
            row.push(cell);
        }
        table.rows.push(row);
    }
    table
}

/// A row per case: one metric of every peer.
pub(crate) fn seconds_table(outcome: &Outcome, caption: &str, peers: &[PeerKind], metric: &str) -> Table {
    let mut table = Table::new(caption, &["case"]);
    table.columns.extend(peers.iter().map(|peer| peer.name().to_owned()));
    for case in outcome.cases() {
        let cells = peers
            .iter()
            .map(|peer| spread(outcome.values(case, peer.name(), metric)));
        let row: Vec<String> = std::iter::once(case.to_owned()).chain(cells).collect();
        if row[1..].iter().any(|cell| cell != "–") {
            table.rows.push(row);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let written = [0.0, 0.001_234, 0.0333, 0.25, 1.234, 12.34, 123.4, 12345.6].map(figure);
        assert_eq!(
            written,
            ["0", "0.00123", "0.0333", "0.25", "1.23", "12.3", "123", "12346"]
        );
    }
}
