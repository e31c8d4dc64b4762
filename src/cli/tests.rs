//! Exit codes, tables, and text from others.

use clap::CommandFactory as _;
use tonic::{Code, Status};

use super::{
    exit::{Exit, Failure},
    output::{Table, escape},
    *,
};
use crate::{
    admission::{Finding, Place, Severity},
    proto::admin::{Delivery, Nack, NodeStatus, StreamStatus, TypeStatus, type_status::State},
};

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_status_code_has_its_exit_code() {
    for (code, exit) in [
        (Code::InvalidArgument, Exit::Refused),
        (Code::NotFound, Exit::NotFound),
        (Code::Aborted, Exit::Conflict),
        (Code::Unavailable, Exit::Unavailable),
        (Code::DeadlineExceeded, Exit::Unavailable),
        (Code::PermissionDenied, Exit::Denied),
        (Code::Unauthenticated, Exit::Denied),
        (Code::Internal, Exit::Unavailable),
    ] {
        assert_eq!(Failure::from(Status::new(code, "why")).exit, exit, "{code:?}");
    }
    let numbers = [
        Exit::Ok,
        Exit::Difference,
        Exit::Usage,
        Exit::Refused,
        Exit::NotFound,
        Exit::Conflict,
        Exit::Unavailable,
        Exit::Denied,
    ];
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(number, exit)| *exit as usize == number)
    );
}

#[test]
fn a_broken_pipe_is_no_failure() {
    let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    assert_eq!((failure.exit, failure.to_string()), (Exit::Ok, String::new()));
}

#[test]
fn columns_are_aligned_and_never_blank() {
    let mut table = Table::new(["NAME", "VERSION"]);
    table.row(&["a-long-name".to_owned(), "1".to_owned()]);
    table.row(&["b".to_owned(), String::new()]);
    table.note("said\nso");
    assert_eq!(
        table.render(),
        "NAME         VERSION\na-long-name  1\nb            -\n    said\\nso\n"
    );
}

#[test]
fn text_of_strangers_cannot_move_the_cursor() {
    assert_eq!(
        escape("\u{1b}[2J\r\n\u{202e}\u{9b}ü"),
        "\\u{1b}[2J\\r\\n\\u{202e}\\u{9b}ü"
    );
}

#[test]
fn a_finding_reads_as_admission_writes_it() {
    let finding = Finding {
        severity: Severity::Error,
        code: "XDS0003",
        message: "unknown field".to_owned(),
        place: Some(Place {
            document: "cds.yaml".to_owned(),
            line: 7,
            column: 9,
        }),
        type_url: Some("type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned()),
        resource: Some("a".to_owned()),
        field: Some("connect_timeoutt".to_owned()),
    };
    let line = findings::line(&crate::admin::finding(&finding));
    assert_eq!(
        line,
        "cds.yaml:7:9: error[XDS0003] cluster \"a\": connect_timeoutt: unknown field"
    );
    assert_eq!(line, finding.to_string());
}

#[test]
fn a_nack_is_shown_below_its_row_in_the_nodes_words() {
    let delivery = |version: &str| {
        Some(Delivery {
            version: version.to_owned(),
            ..Delivery::default()
        })
    };
    let row = TypeStatus {
        type_url: "type.googleapis.com/envoy.config.listener.v3.Listener".to_owned(),
        state: State::Error.into(),
        sent: delivery("v2"),
        acked: delivery("v1"),
        nack: Some(Nack {
            version: "v2".to_owned(),
            nonce: "n-7".to_owned(),
            message: "Error adding listener\n\u{1b}[31mbad".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            ..Nack::default()
        }),
        ..TypeStatus::default()
    };
    let node = NodeStatus {
        id: "envoy-1".to_owned(),
        group: "edge".to_owned(),
        connected: true,
        streams: vec![StreamStatus::default()],
        types: vec![row],
        ..NodeStatus::default()
    };
    let text = status::table(&[node]);
    let lines: Vec<&str> = text.lines().collect();
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(
        words,
        [
            "envoy-1",
            "edge",
            "yes",
            "(1",
            "stream)",
            "listener",
            "ERROR",
            "v2",
            "v1",
            "1970-01-01T00:00:00Z"
        ]
    );
    assert_eq!(
        lines[2],
        "    NACK of version v2 (nonce n-7) at 1970-01-01T00:00:00Z: Error adding listener\\n\\u{1b}[31mbad"
    );
}

#[test]
fn any_moment_can_be_shown() {
    let shown = |seconds: i64, nanos: i32| output::time(Some(&prost_types::Timestamp { seconds, nanos }));
    assert_eq!(shown(0, 999_999_999), "1970-01-01T00:00:00Z");
    assert_eq!(shown(1_764_496_800, 5), "2025-11-30T10:00:00Z");
    assert_eq!(shown(-1, 0), "1969-12-31T23:59:59Z");
    assert!(!shown(253_402_300_800, 0).is_empty());
    for seconds in [i64::MIN, i64::MAX] {
        assert!(!shown(seconds, 0).is_empty());
    }
    assert_eq!(output::time(None), "");
}
