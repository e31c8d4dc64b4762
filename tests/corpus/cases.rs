//! The corpus as data.
//!
//! A table of `bad/` has `cases`. Each has a `name`, an input, and the expected findings: `expect`, a list of
//! `CODE LINE FIELD`, with `-` for an unknown line or field. The input is a whole `document` (or `bytes` in base64, or a text
//! to `repeat`), or the fields of one resource, which are put into a document:
//!
//! | key | the fields of |
//! | --- | --- |
//! | `cluster`, `endpoints`, `listener`, `routes` | a Cluster, ClusterLoadAssignment, Listener, RouteConfiguration |
//! | `manager` | an HTTP connection manager in a listener |
//! | `filter` | an HTTP filter in such a manager, its `@type` included |
//!
//! `envoy: refuses` or `envoy: accepts` is the expected verdict of a real Envoy, and `ours: REASON` explains why Envoy is not
//! asked; both may apply to a whole table. The default is that Envoy refuses. In all texts `$CERT`, `$KEY`, `$EXPIRED` and
//! `$EXPIRED_KEY` stand for certificates that are generated when the tests run, as text inside double quotes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    admission::{self, Candidate, Document, Finding, Format, Limits, Rejection},
    envoy::Served,
    resource::ResourceType,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    envoy: Option<Verdict>,
    ours: Option<String>,
    cases: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Accepts,
    Refuses,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    expect: Vec<String>,
    envoy: Option<Verdict>,
    ours: Option<String>,
    file: Option<String>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    Document(String),
    Bytes(String),
    Repeat(Repeat),
    Cluster(String),
    Endpoints(String),
    Listener(String),
    Routes(String),
    Manager(String),
    Filter(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    #[serde(default)]
    before: String,
    open: String,
    times: usize,
    inside: String,
    close: String,
    #[serde(default)]
    after: String,
}

/// One input with its expected findings.
#[derive(Debug)]
pub(crate) struct Case {
    /// `table/name`.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) content: Vec<u8>,
    pub(crate) expect: Vec<String>,
    /// Envoy's expected verdict, or the reason why Envoy is not asked.
    pub(crate) envoy: Result<Verdict, String>,
}

/// Everything below `good/`.
pub(crate) static GOOD: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let case = |path: PathBuf| Case {
        name: format!("good/{}", name_of(&path)),
        file: path.file_name().unwrap().to_str().unwrap().to_owned(),
        content: certified(&fs::read_to_string(&path).unwrap()),
        expect: Vec::new(),
        envoy: Ok(Verdict::Accepts),
    };
    files("good").into_iter().map(case).collect()
});

/// Every case of every table below `bad/`.
pub(crate) static BAD: LazyLock<Vec<Case>> =
    LazyLock::new(|| files("bad").iter().flat_map(|path| table(path)).collect());

/// Placeholders in texts, with certificates and their keys. A longer name comes before its own prefix.
static CERTIFICATES: LazyLock<[(&str, String); 4]> = LazyLock::new(|| {
    let [expired, expired_key] = certificate(2002);
    let [valid, key] = certificate(4000);
    [
        ("$EXPIRED_KEY", expired_key),
        ("$EXPIRED", expired),
        ("$CERT", valid),
        ("$KEY", key),
    ]
});

/// A certificate that is valid up to the beginning of this year, and its key.
fn certificate(until: i32) -> [String; 2] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    [params.self_signed(&key).unwrap().pem(), key.serialize_pem()]
}

const TYPES: &str = "type.googleapis.com/envoy";

fn files(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn table(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let table: Table = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let case = |row: Row| {
        let ours = row.ours.or_else(|| row.envoy.is_none().then(|| table.ours.clone())?);
        let verdict = row.envoy.or(table.envoy).unwrap_or(Verdict::Refuses);
        Case {
            name: format!("{}/{}", name_of(path), row.name),
            file: row.file.unwrap_or_else(|| "a.yaml".to_owned()),
            content: content(row.content),
            expect: row.expect,
            envoy: ours.map_or(Ok(verdict), Err),
        }
    };
    table.cases.into_iter().map(case).collect()
}

fn content(content: Content) -> Vec<u8> {
    let text = match content {
        Content::Bytes(base64) => return STANDARD.decode(base64).unwrap(),
        Content::Document(text) => text,
        Content::Repeat(repeat) => {
            let [open, close] = [&repeat.open, &repeat.close].map(|text| text.repeat(repeat.times));
            format!("{}{open}{}{close}{}", repeat.before, repeat.inside, repeat.after)
        }
        Content::Cluster(fields) => resource("config.cluster.v3.Cluster", &with(&fields, "name: a")),
        Content::Endpoints(fields) => resource(
            "config.endpoint.v3.ClusterLoadAssignment",
            &with(&fields, "cluster_name: a"),
        ),
        Content::Routes(fields) => resource("config.route.v3.RouteConfiguration", &with(&fields, "name: a")),
        Content::Listener(fields) => listener(&fields),
        Content::Manager(fields) => listener(&manager(&fields)),
        Content::Filter(fields) => listener(&manager(&format!(
            "http_filters:\n- name: filter\n  typed_config:\n{}- {ROUTER}\n",
            indented(&fields, 4)
        ))),
    };
    certified(&text)
}

const ROUTER: &str =
    "{name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";

fn resource(kind: &str, fields: &str) -> String {
    format!("resources:\n- \"@type\": {TYPES}.{kind}\n{}", indented(fields, 2))
}

fn listener(fields: &str) -> String {
    let address = "address: {socket_address: {address: 127.0.0.1, port_value: 8000}}";
    resource("config.listener.v3.Listener", &with(&with(fields, address), "name: a"))
}

fn manager(fields: &str) -> String {
    let filters = format!("http_filters: [{ROUTER}]");
    let fields = with(
        &with(&with(fields, &filters), "route_config: {name: a}"),
        "stat_prefix: a",
    );
    let kind = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let head = "filter_chains:\n- filters:\n  - name: http\n    typed_config:\n";
    format!("{head}      \"@type\": {TYPES}.{kind}\n{}", indented(&fields, 6))
}

/// The fields, preceded by this one unless they include it.
fn with(fields: &str, field: &str) -> String {
    let (name, _) = field.split_once(':').unwrap();
    let given = fields
        .lines()
        .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    if given {
        fields.to_owned()
    } else {
        format!("{field}\n{fields}")
    }
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn certified(text: &str) -> Vec<u8> {
    let put = |text: String, (name, pem): &(&str, String)| text.replace(name, &pem.replace('\n', "\\n"));
    CERTIFICATES.iter().fold(text.to_owned(), put).into_bytes()
}

// === impl Case ===

impl Case {
    /// The findings of admission.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let candidate = Candidate {
            documents: vec![Document {
                name: self.file.clone(),
                content: self.content.clone().into(),
                format: Format::of_name(&self.file),
            }],
            resources: Vec::new(),
        };
        let now = Some(SystemTime::now());
        match admission::admit_over(&candidate, &Limits::default(), None, now) {
            Ok(admitted) => {
                let references = admission::check_group(&admitted.resources, None, &admitted.places);
                [admitted.findings, references].concat()
            }
            Err(Rejection { findings }) => findings,
        }
    }

    /// The resources as a node receives them, or `None` if the text cannot be read at all.
    pub(crate) fn served(&self) -> Option<Served> {
        let document: Value = serde_saphyr::from_str(str::from_utf8(&self.content).ok()?).ok()?;
        let mut served = Served::default();
        for resource in document["resources"].as_array()? {
            let inner = resource.get("resource").unwrap_or(resource);
            let kind = ResourceType::from_type_url(inner["@type"].as_str()?)?;
            let mut names = [resource, inner]
                .into_iter()
                .flat_map(|value| [&value["name"], &value["cluster_name"]]);
            let name = names.find_map(Value::as_str).unwrap_or("nameless");
            served.insert(kind, name, inner.clone());
        }
        Some(served)
    }
}

/// A finding in the notation of the tables.
pub(crate) fn row(finding: &Finding) -> String {
    let line = finding.place.as_ref().map_or(0, |place| place.line);
    written(finding.code, line, finding.field.as_deref().unwrap_or_default())
}

pub(crate) fn written(code: &str, line: u32, field: &str) -> String {
    let line = if line == 0 { "-".to_owned() } else { line.to_string() };
    let field = if field.is_empty() { "-" } else { field };
    format!("{code} {line} {field}")
}
