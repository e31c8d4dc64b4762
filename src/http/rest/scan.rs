//! Counts the values and nesting of a poll's JSON before the parser runs: a parsed value is many times its text.

/// The deepest nesting of values. A node's metadata is nested the most.
const DEPTH: usize = 64;

/// The error for JSON beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    #[error("more than {0} values in one poll")]
    Values(usize),
    #[error("values are nested more than {DEPTH} deep")]
    Depth,
}

/// Counts the separators of values. The parser checks the syntax later.
pub(super) fn check(json: &[u8], most: usize) -> Result<(), Excess> {
    let (mut values, mut depth, mut in_text, mut escaped) = (0, 0_usize, false, false);
    for byte in json {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b',' | b':' => values += 1,
            b'[' | b'{' => {
                values += 1;
                depth += 1;
                if depth > DEPTH {
                    return Err(Excess::Depth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if values > most {
            return Err(Excess::Values(most));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings_only() {
        for (json, values) in [
            (r#"{"a": [1, 2], "b": {}}"#, 7),
            (r#"["a,,,[[[\",:{{{", 1, {"x\\": 1}]"#, 5),
        ] {
            assert_eq!(check(json.as_bytes(), values), Ok(()), "{json}");
            assert_eq!(
                check(json.as_bytes(), values - 1),
                Err(Excess::Values(values - 1)),
                "{json}"
            );
        }
    }

    #[test]
    fn too_many_and_too_deep_are_refused() {
        let many = format!("[{}1]", "{},".repeat(1_000_000));
        assert_eq!(check(many.as_bytes(), 1000), Err(Excess::Values(1000)));
        assert_eq!(check("[".repeat(100).as_bytes(), 1000), Err(Excess::Depth));
        assert_eq!(check("[]".repeat(100).as_bytes(), 1000), Ok(()));
    }
}
