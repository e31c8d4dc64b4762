//! The Markdown page.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Section, Table, Target, figure, plot};
use crate::{
    results::{Outcome, Results},
    scenario,
};

/// The text between these two lines is written by hand, and kept.
const PROFILE_BEGIN: &str = "<!-- profile: written by hand, kept by `make bench-report` -->";
const PROFILE_END: &str = "<!-- end of profile -->";

/// Writes `docs/benchmarks.md` and `docs/benchmarks/*.svg`.
pub(crate) fn write(results: &Results, page: &Path, plots: &Path) -> Result<()> {
    fs::create_dir_all(plots)?;
    let kept = fs::read_to_string(page)
        .ok()
        .and_then(|old| profile(&old).map(str::to_owned));
    let sections: Vec<(u8, &str, Section)> = scenario::ALL
        .iter()
        .filter_map(|scenario| {
            let outcome = results.scenarios.get(&scenario.number)?;
            Some((scenario.number, scenario.title, (scenario.report)(outcome)))
        })
        .collect();
    let mut text = String::new();
    head(&mut text);
    if sections.is_empty() {
        text.push_str("No scenario has been measured yet.\n\n");
    } else {
        runs(&mut text, results)?;
        summary(&mut text, &sections)?;
    }
    write!(text, "## Where the time goes\n\n{PROFILE_BEGIN}")?;
    text.push_str(kept.as_deref().unwrap_or("\n\n"));
    writeln!(text, "{PROFILE_END}\n")?;
    for (number, title, section) in &sections {
        let outcome = &results.scenarios[number];
        one(&mut text, *number, title, section, outcome)?;
        for plot in &section.plots {
            let path = plots.join(&plot.file);
            fs::write(&path, plot::svg(plot)).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    fs::write(page, text).with_context(|| format!("{} cannot be written", page.display()))
}

fn profile(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(PROFILE_BEGIN)?;
    rest.split_once(PROFILE_END).map(|(kept, _)| kept)
}

fn head(text: &mut String) {
    text.push_str(
        "# Benchmarks\n\n\
         `make bench` writes this page (`make bench ONLY=1,2` for some scenarios, `BENCH_QUICK=1 make bench` for small sizes); `make bench-report` writes it \
         again from [benchmarks/results.json](benchmarks/results.json). [benches/README.md](../benches/README.md) describes the method. Absolute times \
         are those of one machine; compare the ratios of peers, which were measured in turn. Everything is plaintext HTTP/2 on loopback, \
         except for scenario 9, which is over mTLS.\n\n\
         | peer | implementation |\n| --- | --- |\n\
         | chancery | `chancery serve --ephemeral --log-level=error`, with publishes through its admin API: admission is part of its CPU |\n\
         | limit-raw | tonic's server and one shared `Bytes` per push, no xDS: the least a tonic server can cost |\n\
         | naive | tonic's own streaming with prost: a response built and encoded per stream |\n\
         | go SnapshotCache | go-control-plane, one snapshot object shared by all nodes, its best case; logger off |\n\
         | go LinearCache | go-control-plane's cache of one type; logger off |\n\n",
    );
}

/// The date and machine of each scenario's last run.
fn runs(text: &mut String, results: &Results) -> Result<()> {
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, outcome) in &results.scenarios {
        let environment = &outcome.environment;
        let pinned = if environment.pinned {
            "server and generator on a core each"
        } else {
            "not pinned"
        };
        let quick = if outcome.quick { ", **short form**" } else { "" };
        let (date, machine, kernel) = (&environment.date, &environment.machine, &environment.kernel);
        let versions = environment.versions.join(", ");
        let line = format!("{date} | {machine}, {pinned}{quick} | {kernel} | {versions}");
        match seen.iter_mut().find(|(known, _)| *known == line) {
            Some((_, numbers)) => numbers.push(*number),
            None => seen.push((line, vec![*number])),
        }
    }
    text.push_str("| scenarios | date (UTC) | machine | kernel | versions |\n| --- | --- | --- | --- | --- |\n");
    for (line, numbers) in seen {
        let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
        writeln!(text, "| {} | {line} |", numbers.join(", "))?;
    }
    text.push('\n');
    Ok(())
}

fn summary(text: &mut String, sections: &[(u8, &str, Section)]) -> Result<()> {
    let targets = || sections.iter().flat_map(|(_, _, section)| &section.targets);
    let met = targets().filter(|target| target.is_met() == Some(true)).count();
    let measured = targets().filter(|target| target.measured.is_some()).count();
    writeln!(text, "## Targets\n\n{met} of {measured} measured targets are met.\n")?;
    text.push_str("| # | target | bound | measured | verdict |\n| --- | --- | --- | --- | --- |\n");
    for (number, _, section) in sections {
        for target in &section.targets {
            let (bound, measured, verdict) = cells(target);
            writeln!(
                text,
                "| {number} | {} | {bound} | {measured} | {verdict} |",
                target.what
            )?;
        }
    }
    text.push('\n');
    Ok(())
}

fn cells(target: &Target) -> (String, String, String) {
    let bound = format!("{} {}", if target.at_least { "≥" } else { "≤" }, figure(target.bound));
    let Some(measured) = target.measured else {
        return (bound, "–".to_owned(), "not measured".to_owned());
    };
    let (median, least, most) = (figure(measured.median), figure(measured.least), figure(measured.most));
    let spread = if least == most {
        median
    } else {
        format!("{median} ({least}–{most})")
    };
    // The quotient of the bound and the measured value, or its inverse.
    let factor = match (target.at_least, measured.median > 0.0, target.bound > 0.0) {
        (_, false, _) | (_, _, false) => None,
        (true, true, true) => Some(measured.median / target.bound),
        (false, true, true) => Some(target.bound / measured.median),
    };
    let verdict = match (target.is_met() == Some(true), factor) {
        (true, Some(factor)) => format!("met, {}× better", figure(factor)),
        (true, None) => "met".to_owned(),
        (false, Some(factor)) => format!("**not met**, {}× off", figure(1.0 / factor)),
        (false, None) => "**not met**".to_owned(),
    };
    (bound, spread, verdict)
}

fn one(text: &mut String, number: u8, title: &str, section: &Section, outcome: &Outcome) -> Result<()> {
    writeln!(text, "## {number}. {title}\n")?;
    for paragraph in &section.paragraphs {
        writeln!(text, "{paragraph}\n")?;
    }
    if let Some(error) = &outcome.error {
        writeln!(
            text,
            "**This run did not end well: {error}.** What follows is what was measured before.\n"
        )?;
    }
    for table in &section.tables {
        write_table(text, table)?;
    }
    for plot in &section.plots {
        writeln!(text, "![{}](benchmarks/{})\n", plot.title, plot.file)?;
    }
    if !outcome.notes.is_empty() {
        for note in &outcome.notes {
            writeln!(text, "- {}", note.replace('\n', " "))?;
        }
        text.push('\n');
    }
    writeln!(text, "Measured in {:.0} s.\n", outcome.seconds)?;
    Ok(())
}

fn write_table(text: &mut String, table: &Table) -> Result<()> {
    writeln!(text, "{}:\n", table.caption)?;
    writeln!(text, "| {} |", table.columns.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(table.columns.len()))?;
    for row in &table.rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    text.push('\n');
    Ok(())
}
