//! "Did you mean": finds the known name nearest to a misspelt one.

/// The longest name compared: the distance costs the product of the lengths.
const LONGEST: usize = 64;

/// The candidate nearest to `name`, if it is close enough to be a misspelling.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let furthest = (name.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= furthest)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The text `; did you mean "x"?`, or an empty one.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |found| format!("; did you mean \"{found}\"?"))
}

/// The Levenshtein distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelling_finds_its_field() {
        let fields = ["connect_timeout", "name", "type", "lb_policy"];
        assert_eq!(nearest("connect_timeoutt", fields), Some("connect_timeout"));
        assert_eq!(nearest("lb_polcy", fields), Some("lb_policy"));
    }

    #[test]
    fn unrelated_name_finds_nothing() {
        assert_eq!(nearest("virtual_hosts", ["name", "type"]), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), ["x"]), None);
    }
}
