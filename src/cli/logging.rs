//! Log lines. Every field is shortened, and characters that steer a terminal or forge another line are escaped: here, for
//! all log calls.

use std::{
    fmt::{self, Debug, Write as _},
    io::{self, Write},
};

use serde_json::Value;
use tracing::{
    Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, MakeWriter, format::Writer},
    util::SubscriberInitExt as _,
};

use crate::{
    settings::{LogFormat, LogSettings},
    text::{Escaping, escape_json, head},
};

/// Bytes of one field: room for the stored message of a NACK.
const FIELD_BYTES: usize = 4096;

/// Fields as text: `name=value`, and the message without a name.
struct SafeFields;

struct Visitor<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

/// Writes lines of JSON to a writer.
struct SafeLines<W>(W);

/// Starts logging to stderr.
pub(super) fn start(settings: &LogSettings) {
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    if let Err(error) = subscriber(settings, io::stderr, is_terminal).try_init() {
        writeln!(io::stderr(), "logging is on already: {error}").ok();
    }
}

fn subscriber<W>(settings: &LogSettings, writer: W, ansi: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&settings.level));
    match settings.format {
        LogFormat::Text => Box::new(
            builder
                .with_ansi(ansi)
                .with_writer(writer)
                .fmt_fields(SafeFields)
                .finish(),
        ),
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true);
            Box::new(builder.with_writer(SafeLines(writer)).finish())
        }
    }
}

// === impl SafeFields ===

impl<'writer> FormatFields<'writer> for SafeFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            is_first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

// === impl Visitor ===

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: &dyn Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        if field.name() != "message" {
            write!(self.writer, "{}=", field.name())?;
        }
        write!(Escaping::new(&mut self.writer, FIELD_BYTES), "{value:?}")
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, value);
        }
    }
}

// === impl SafeLines ===

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for SafeLines<W> {
    type Writer = SafeLines<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        SafeLines(self.0.make_writer())
    }
}

impl<W: Write> Write for SafeLines<W> {
    /// A subscriber writes each line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = if line.len() > FIELD_BYTES {
            shortened(&text).unwrap_or_else(|| text.into_owned())
        } else {
            text.into_owned()
        };
        self.0.write_all(escape_json(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The line with each text in it shortened.
fn shortened(line: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    cut(&mut value);
    Some(format!("{value}\n"))
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            let kept = head(text, FIELD_BYTES).len();
            if kept < text.len() {
                text.truncate(kept);
                text.push('…');
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};

    use super::*;
    use crate::text::is_unsafe;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let settings = LogSettings {
            level: "info".to_owned(),
            format,
        };
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(&settings, move || writer.clone(), false), log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    const FORGED: &str = "x\n2026-01-01 INFO all is well \u{1b}[2J\u{9b}31m\u{202e}\u{2066}\u{2028}\r";

    #[test]
    fn no_field_forges_a_line_whichever_way_it_is_logged() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, || {
                let span = info_span!("stream", node = %FORGED, group = ?FORGED);
                let _entered = span.enter();
                warn!(error = %FORGED, text = FORGED, "bad request: {FORGED}");
                warn!("{FORGED}");
            });
            assert_eq!(lines.len(), 2, "{lines:#?}");
            for line in &lines {
                assert!(!line.contains(is_unsafe), "{line:?}");
                assert!(line.contains("all is well"), "{line}");
            }
        }
    }

    #[test]
    fn no_field_makes_a_line_long() {
        let long = "x".repeat(20 << 20);
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, || {
                let span = info_span!("stream", node = %long);
                let _entered = span.enter();
                warn!(error = %long, peer = ?long, "bad request");
            });
            assert_eq!(lines.len(), 1);
            assert!(lines[0].len() < 20 << 10, "{} bytes", lines[0].len());
            assert!(lines[0].contains("bad request"), "{}", &lines[0][..200]);
        }
    }

    #[test]
    fn ordinary_lines_are_what_they_were() {
        let log = || info!(node = ?"envoy-1", text = %"größe", count = 3, "stream opened");
        let text = logged(LogFormat::Text, log);
        assert!(
            text[0].ends_with(r#"stream opened node="envoy-1" text=größe count=3"#),
            "{text:?}"
        );
        let json: Value = serde_json::from_str(&logged(LogFormat::Json, log)[0]).unwrap();
        assert_eq!((&json["message"], &json["count"]), (&"stream opened".into(), &3.into()));
    }
}
