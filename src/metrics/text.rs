//! Converts OpenMetrics to Prometheus' classic text, for readers that do not accept OpenMetrics. Pure.

use std::fmt::Write as _;

/// The same metrics as classic text: a counter is named after its sample, and `# UNIT` and `# EOF` are left out.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 4096);
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(said)) => help = Some((name, said)),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, said)) = help.take().filter(|(of, _)| *of == name) {
                    writeln!(text, "# HELP {name}{suffix} {said}").ok();
                }
                writeln!(text, "# TYPE {name}{suffix} {kind}").ok();
            }
            // Drops `# UNIT` and `# EOF`.
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_after_their_sample_and_the_rest_stays() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"# y\"} 1\n\
                    # HELP b_seconds Long.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 0.5\n# EOF\n";
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n\
                        # HELP b_seconds Long.\n# TYPE b_seconds histogram\nb_seconds_sum 0.5\n";
        assert_eq!(classic(open), expected);
    }
}
