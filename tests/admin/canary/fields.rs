//! Resources with a canary in each field that may contain a secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::needles::{Canary, KeyCanary};

/// All resources as one document.
pub(crate) struct Fields {
    pub(crate) canaries: Vec<Canary>,
    /// Secrets of SDS, and the values in them.
    pub(crate) names: Vec<String>,
    pub(crate) values: Vec<String>,
    items: Vec<String>,
}

const EXTENSIONS: &str = "'@type': type.googleapis.com/envoy.extensions";
const SECRET: &str = "'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

impl Fields {
    pub(crate) fn new() -> Self {
        let mut fields = Self {
            canaries: Vec::new(),
            names: Vec::new(),
            values: Vec::new(),
            items: Vec::new(),
        };
        fields.keys();
        fields.secrets();
        fields.inline();
        fields.routes();
        fields
    }

    pub(crate) fn document(&self) -> String {
        format!("resources:\n{}", self.items.concat())
    }

    /// Each resource as a separate document, with its canary.
    pub(crate) fn single(&self) -> impl Iterator<Item = (&Canary, String)> {
        let items = self.items.iter().map(|item| format!("resources:\n{item}"));
        self.canaries.iter().zip(items)
    }

    fn add(&mut self, canary: Canary, item: &str) {
        self.canaries.push(canary);
        self.items.push(format!("- {item}\n"));
    }

    fn keys(&mut self) {
        let quoted = |pem: &str| format!("\"{}\"", pem.replace('\n', "\\n"));
        let encoded = |pem: &str| STANDARD.encode(pem);
        for (name, form) in [("key-string", "inline_string"), ("key-bytes", "inline_bytes")] {
            let key = KeyCanary::new(&format!("a private key as {form}"));
            let source = |pem: &str| match form {
                "inline_string" => format!("{{inline_string: {}}}", quoted(pem)),
                _ => format!("{{inline_bytes: {}}}", encoded(pem)),
            };
            self.names.push(name.to_owned());
            self.values.push(key.canary.text.clone());
            self.add(
                key.canary.clone(),
                &format!(
                    "{{{SECRET}, name: {name}, tls_certificate: {{certificate_chain: {}, private_key: {}}}}}",
                    source(&key.cert),
                    source(&key.canary.text)
                ),
            );
        }
        let key = KeyCanary::new("a private key inside a cluster");
        self.within(
            key.canary.clone(),
            &format!(
                "{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {{tls_certificates: \
                 [{{certificate_chain: {{inline_string: {}}}, private_key: {{inline_string: {}}}}}]}}",
                quoted(&key.cert),
                quoted(&key.canary.text)
            ),
        );
    }

    fn secrets(&mut self) {
        let generic =
            |name: &str, source: &str| format!("{{{SECRET}, name: {name}, generic_secret: {{secret: {source}}}}}");
        for name in ["oauth-hmac", "client-secret", "injected-credential"] {
            let canary = Canary::new(name);
            self.names.push(name.to_owned());
            self.values.push(canary.text.clone());
            let item = generic(name, &format!("{{inline_string: {}}}", canary.text));
            self.add(canary, &item);
        }
        let canary = Canary::new("a generic secret as bytes");
        self.names.push("generic-bytes".to_owned());
        self.values.push(canary.text.clone());
        let item = generic(
            "generic-bytes",
            &format!("{{inline_bytes: {}}}", STANDARD.encode(&canary.text)),
        );
        self.add(canary, &item);
        let canary = Canary::new("a session ticket key");
        self.names.push("tickets".to_owned());
        let key = format!("{:x<80}", canary.text);
        self.values.push(key.clone());
        let key = STANDARD.encode(key);
        self.add(
            canary,
            &format!("{{{SECRET}, name: tickets, session_ticket_keys: {{keys: [{{inline_bytes: {key}}}]}}}}"),
        );
    }

    /// Adds secrets inside clusters, each kind in an `Any`.
    fn inline(&mut self) {
        const CANARY: &str = "CANARY";
        let filter = |rest: &str| format!("{EXTENSIONS}.filters.http.{rest}");
        let grpc = |rest: &str| {
            filter(&format!(
                "ext_authz.v3.ExtAuthz, stat_prefix: p, grpc_service: {{google_grpc: {{target_uri: u, stat_prefix: s, {rest}}}}}"
            ))
        };
        let json_key = r#"{\"type\":\"service_account\",\"private_key\":\"CANARY\"}"#;
        for (what, typed_config) in [
            ("users of basic auth", filter("basic_auth.v3.BasicAuth, users: {inline_string: 'user:{SHA}CANARY'}")),
            (
                "a symmetric JSON web key",
                filter(
                    "jwt_authn.v3.JwtAuthentication, providers: {p: {issuer: i, local_jwks: {inline_string: \
                     '{\"keys\":[{\"kty\":\"oct\",\"k\":\"CANARY\"}]}'}}}",
                ),
            ),
            ("an access token of google_grpc", grpc("call_credentials: [{access_token: CANARY}]")),
            (
                "a service account's key",
                grpc(&format!("call_credentials: [{{service_account_jwt_access: {{json_key: \"{json_key}\"}}}}]")),
            ),
            (
                "credentials of AWS",
                format!(
                    "{EXTENSIONS}.common.aws.v3.AwsCredentialProvider, inline_credential: {{access_key_id: a, \
                     secret_access_key: CANARY, session_token: CANARY}}"
                ),
            ),
            ("an API key", filter("api_key_auth.v3.ApiKeyAuth, credentials: [{key: CANARY, client: c}], key_sources: [{header: x}]")),
            (
                "a header authorization",
                filter(
                    "ext_authz.v3.ExtAuthz, grpc_service: {envoy_grpc: {cluster_name: c}, initial_metadata: \
                     [{key: authorization, value: 'Bearer CANARY'}]}",
                ),
            ),
            (
                "a password of Redis",
                format!(
                    "{EXTENSIONS}.filters.network.redis_proxy.v3.RedisProtocolOptions, auth_password: {{inline_string: CANARY}}"
                ),
            ),
            (
                "a tracer's token",
                "'@type': type.googleapis.com/envoy.config.trace.v3.LightstepConfig, collector_cluster: c, access_token: \
                 {inline_string: CANARY}"
                    .to_owned(),
            ),
            (
                "a password in a URL",
                filter(
                    "ext_authz.v3.ExtAuthz, http_service: {server_uri: {uri: 'https://user:CANARY@host/path', cluster: c, \
                     timeout: 1s}}",
                ),
            ),
            (
                "a secret of an unknown type",
                "'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/no.Such, value: \
                 {client_secret: CANARY}"
                    .to_owned(),
            ),
        ] {
            let canary = Canary::new(what);
            let typed_config = typed_config.replace(CANARY, &canary.text);
            self.within(canary, &typed_config);
        }
        let canary = Canary::new("a password in metadata");
        let metadata = format!("metadata: {{filter_metadata: {{f: {{password: {}}}}}}}", canary.text);
        self.cluster(canary, &metadata);
    }

    fn routes(&mut self) {
        let canary = Canary::new("headers and parameters of a route");
        let text = canary.text.clone();
        let encoded = STANDARD.encode(&text);
        self.add(
            canary,
            &format!(
                "{{'@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: r, request_headers_to_add: \
                 [{{header: {{key: authorization, value: {text}}}}}, {{header: {{key: cookie, raw_value: {encoded}}}}}], \
                 virtual_hosts: [{{name: v, domains: ['*'], routes: [{{match: {{prefix: /, query_parameters: [{{name: token, \
                 string_match: {{exact: {text}}}}}]}}, direct_response: {{status: 200}}}}]}}]}}"
            ),
        );
    }

    fn within(&mut self, canary: Canary, typed_config: &str) {
        self.cluster(
            canary,
            &format!("transport_socket: {{name: x, typed_config: {{{typed_config}}}}}"),
        );
    }

    fn cluster(&mut self, canary: Canary, rest: &str) {
        let name = format!("c{}", self.canaries.len());
        self.add(
            canary,
            &format!("{{'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: {name}, connect_timeout: 1s, {rest}}}"),
        );
    }
}

/// The document with each common fault, near the canary or throughout.
pub(crate) fn faults(canary: &Canary, document: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("a document that is cut off", document[..document.len() - 3].to_owned()),
        ("an unknown field", document.replace("inline_string:", "inline_strin:")),
        (
            "a field that is not bytes",
            document.replace("inline_bytes:", "inline_bites:"),
        ),
        (
            "bytes that are none",
            document.replace("inline_bytes: ", "inline_bytes: '!'"),
        ),
        (
            "a list for a text",
            document
                .replace("inline_string: ", "inline_string: [")
                .replace("}}}\n", "]}}}\n"),
        ),
        (
            "a text for a message",
            document
                .replace("{inline_string:", "{x")
                .replace("secret: {x", "secret: "),
        ),
        (
            "an unknown type",
            document.replace("type.googleapis.com/envoy", "type.googleapis.com/envy"),
        ),
        ("a key twice", document.replace("name: ", "name: x, name: ")),
        ("a tab", document.replace("- {", "-\t{\n\t")),
        (
            "a broken rule",
            document.replace("connect_timeout: 1s", "connect_timeout: -1s, name: ''"),
        ),
        (
            "a key and its certificate that do not fit",
            document.replace("private_key: {", "password: {"),
        ),
        ("no resource", document.replace("resources:", "resource:")),
        ("not a mapping", document.replace("resources:\n- ", "")),
        ("another format", format!("{{\"resources\": {document}")),
    ];
    if document.contains(&canary.text) {
        let replaced = |by: &str| document.replace(&canary.text, &by.replace("CANARY", &canary.text));
        all.extend([
            ("a quote that is not closed", replaced("'CANARY")),
            ("an invalid escape", replaced("\"CANARY\\q\"")),
            ("an alias of nothing", replaced("*CANARY")),
            ("an anchor", replaced("&CANARY")),
            ("a reserved character", replaced("@CANARY")),
            ("another reserved character", replaced("`CANARY")),
            ("a directive", replaced("%CANARY")),
            ("a colon", replaced("CANARY: CANARY: CANARY")),
            ("a number's tag", replaced("!!int CANARY")),
            ("an unknown tag", replaced("!CANARY CANARY")),
            ("a mapping for a text", replaced("{CANARY: CANARY}")),
            ("a line break in it", replaced("\"CANARY\\nCANARY\"")),
            ("a byte that no header has", replaced("\"CANARY\\0\"")),
        ]);
    }
    // A fault that leaves the document unchanged does not apply to it.
    all.retain(|(_, faulty)| faulty != document);
    all
}
