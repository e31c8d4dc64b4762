//! Priority of layers, refusals with their place, and printed settings that can be read again.

use std::{path::Path, time::Duration};

use super::*;
use crate::{admission::Severity, fleet, node::NodeGroup, resource::ResourceType};

fn flags(ephemeral: bool) -> Layer {
    Layer {
        ephemeral: ephemeral.then_some(true),
        ..Layer::default()
    }
}

fn file(text: &str) -> Result<Layer, String> {
    file::parse(Path::new("chancery.yaml"), text).map_err(|error| error.to_string())
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let above = Layer {
        xds_addr: Some("127.0.0.1:1".parse().unwrap()),
        ..flags(true)
    };
    let below =
        file("xds_addr: 127.0.0.1:2\nadmin_addr: 127.0.0.1:3\nshutdown_grace: 3s\nfleet: {max_nodes: 7}\n").unwrap();
    let settings = Settings::resolve(above.or(below)).unwrap();
    assert_eq!(settings.xds_addr.port(), 1);
    assert_eq!(settings.values.admin_addr().port(), 3);
    assert_eq!(settings.values.http_addr().port(), 18002);
    assert_eq!(settings.values.shutdown_grace().0, Duration::from_secs(3));
    assert_eq!(settings.parts.fleet.nodes, 7);
    assert_eq!(settings.parts.fleet.forget_after, fleet::Limits::default().forget_after);
}

#[test]
fn the_store_is_one_choice_of_the_upper_layer() {
    let below = file("data_dir: /var/lib/chancery").unwrap();
    let settings = Settings::resolve(flags(true).or(below.clone())).unwrap();
    assert_eq!(settings.store, StoreSettings::Ephemeral);
    let settings = Settings::resolve(flags(false).or(below)).unwrap();
    assert_eq!(settings.store, StoreSettings::DataDir("/var/lib/chancery".into()));
}

#[test]
fn without_a_directory_snapshots_are_kept_in_memory() {
    let settings = Settings::resolve(Layer::default()).unwrap();
    assert_eq!(settings.store, StoreSettings::Ephemeral);
}

#[test]
fn key_file_needs_something_to_seal() {
    let layer = file("data_dir: /var/lib/chancery\nstore: {key_file: /etc/store.key}\n").unwrap();
    let settings = Settings::resolve(layer.clone()).unwrap();
    assert_eq!(settings.values.store.key_file, Some("/etc/store.key".into()));
    assert!(
        settings.to_yaml().contains("key_file: /etc/store.key"),
        "{}",
        settings.to_yaml()
    );
    let refused = Settings::resolve(flags(true).or(layer)).unwrap_err().to_string();
    assert!(refused.contains("store.key_file"), "{refused}");
    let none = Settings::resolve(file("data_dir: /var/lib/chancery").unwrap()).unwrap();
    assert!(!none.to_yaml().contains("store"), "{}", none.to_yaml());
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_path() {
    let error = file("xds_addr: 127.0.0.1:2\nfleet:\n  max_nodez: 7\n").unwrap_err();
    assert!(
        error.starts_with("chancery.yaml:3:3: fleet.max_nodez: unknown field"),
        "{error}"
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_place_and_path() {
    for (text, start) in [
        ("xds_addr: nowhere", "chancery.yaml:1:11: xds_addr: "),
        ("log:\n  format: xml", "chancery.yaml:2:11: log.format: "),
        (
            "fleet:\n  forget_after: soon",
            "chancery.yaml:2:17: fleet.forget_after: \"soon\" is not a duration",
        ),
        (
            "groups:\n  - id: a\n",
            "chancery.yaml:2:5: groups[0]: missing field `group`",
        ),
        ("ephemeral: yes please", "chancery.yaml:1:12: ephemeral: "),
        ("a: [", "chancery.yaml:1:"),
        ("xds_addr: 127.0.0.1:1\nxds_addr: 127.0.0.1:2", "chancery.yaml:2:1: "),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

#[test]
fn an_empty_file_sets_nothing() {
    assert!(file("# nothing\n").unwrap().xds_addr.is_none());
}

#[test]
fn rules_that_name_no_group_are_refused() {
    let layer = file("ephemeral: true\ngroups:\n  - {id: edge-*, group: '*'}\n").unwrap();
    assert!(matches!(Settings::resolve(layer), Err(SettingsError::Groups(_))));
}

#[test]
fn broken_rules_are_errors_unless_the_settings_say_otherwise() {
    assert_eq!(
        Settings::resolve(flags(true)).unwrap().parts.admission.rules,
        Severity::Error
    );
    let layer = file("ephemeral: true\nadmission: {rules: warn}\n").unwrap();
    assert_eq!(
        Settings::resolve(layer).unwrap().parts.admission.rules,
        Severity::Warning
    );
    let error = file("admission:\n  rules: maybe\n").unwrap_err();
    assert!(error.starts_with("chancery.yaml:2:10: admission.rules: "), "{error}");
}

#[test]
fn load_reports_without_a_pause_are_refused() {
    let layer = file("ephemeral: true\nlrs: {interval: 0s}\n").unwrap();
    let error = Settings::resolve(layer).unwrap_err();
    assert_eq!(error.to_string(), "lrs.interval must be longer than 0s");
}

#[test]
fn types_and_names_of_the_protocol_settings_are_read() {
    let layer = file(
        "ephemeral: true\nprotocol:\n  quiet_removals: [eds]\n  on_demand: ['cluster:a*', 'cluster:b']\n  ttl_groups: [g]\n",
    )
    .unwrap();
    let settings = Settings::resolve(layer).unwrap();
    let policy = &settings.parts.xds.policy;
    assert_eq!(policy.quiet_removals, [ResourceType::Endpoint].into());
    assert_eq!(policy.on_demand[&ResourceType::Cluster].len(), 2);
    assert!(settings.parts.xds.ttl.contains(&NodeGroup::from("g")));
    for (text, expected) in [
        ("{quiet_removals: [clutter]}", "unknown resource type \"clutter\""),
        ("{on_demand: [tenant]}", "is not of the form TYPE:NAME"),
        ("{on_demand: ['clutter:a']}", "unknown resource type \"clutter\""),
    ] {
        let layer = file(&format!("ephemeral: true\nprotocol: {text}\n")).unwrap();
        let error = Settings::resolve(layer).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

// S-20
#[test]
fn groups_to_which_the_shared_one_is_enough_are_named_by_patterns() {
    let sufficed = |text: &str| {
        let layer = file(&format!("ephemeral: true\n{text}")).unwrap();
        Settings::resolve(layer).unwrap().parts.sufficed
    };
    assert!(!sufficed("").contains(&"edge-1".into()), "it is no group's default");
    let edges = sufficed("shared: {enough_for: ['edge-*', lab]}\n");
    assert!(edges.contains(&"edge-1".into()) && edges.contains(&"lab".into()));
    assert!(!edges.contains(&"lab-2".into()));
    assert!(sufficed("shared: {enough_for: ['*']}\n").contains(&"any".into()));
}

// O-14
#[test]
fn waits_are_longer_than_envoys_initial_fetch_timeout() {
    let settings = Settings::resolve(flags(true)).unwrap();
    let envoys = Duration::from_secs(15);
    assert!(settings.parts.xds.policy.ordering.make_timeout > envoys);
    assert!(settings.parts.fleet.unanswered_after > envoys);
}

#[test]
fn what_is_printed_can_be_read_again() {
    let layer = file("ephemeral: true\ngroups:\n  - {id: 'edge-*', group: edge}\n").unwrap();
    let printed = Settings::resolve(layer).unwrap().to_yaml();
    let again = Settings::resolve(file(&printed).unwrap()).unwrap().to_yaml();
    assert_eq!(printed, again);
    assert!(printed.contains("forget_after: 10m"), "{printed}");
}

#[test]
fn the_example_of_the_page_on_access_can_be_used() {
    let page = include_str!("../../docs/access.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let settings = Settings::resolve(file(example).unwrap()).unwrap();
    assert_eq!(settings.access.nodes.as_ref().map(Vec::len), Some(3));
    assert_eq!(settings.access.admin.as_ref().map(Vec::len), Some(4));
    assert_eq!(
        settings.parts.audit.file.as_deref(),
        Some(Path::new("/var/log/chancery/audit.log"))
    );
    let printed = settings.to_yaml();
    assert_eq!(
        Settings::resolve(file(&printed).unwrap()).unwrap().access,
        settings.access
    );
}

#[test]
fn access_rules_that_cannot_be_used_are_refused_at_the_start() {
    let rules = "access: {nodes: [{identity: 'spiffe://a/{ns}', node_id: '{ns}*', groups: a}]}\n";
    let error = Settings::resolve(file(rules).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("access.nodes[0].node_id: \"{ns}*\": "), "{error}");
    let error = file("access:\n  nodes:\n  - {identity: a, node_id: a}\n").unwrap_err();
    assert!(error.contains("missing field `groups`"), "{error}");
    let error = file("access:\n  admin:\n  - {token: a, roles: [root]}\n").unwrap_err();
    assert!(error.contains("access.admin[0].roles[0]"), "{error}");
}

#[test]
fn lists_of_revoked_certificates_need_cas_and_clients_that_show_certificates() {
    let resolved = |text: &str| Settings::resolve(file(text).unwrap()).map(|settings| settings.tls.xds.unwrap().crl);
    let port = "xds: {tls_cert: c, tls_key: k, crl: l";
    let whole = resolved(&format!("{port}, client_ca: a}}")).unwrap();
    assert_eq!(whole, Some("l".into()));
    for (text, lacks) in [
        ("xds: {crl: l}".to_owned(), "xds.crl needs xds.tls_cert"),
        (format!("{port}}}"), "xds.crl needs xds.client_ca"),
        (
            format!("{port}, client_ca: a, client_auth: none}}"),
            "xds.crl needs xds.client_auth",
        ),
    ] {
        let error = resolved(&text).unwrap_err().to_string();
        assert!(error.starts_with(lacks), "{error}");
    }
}

#[test]
fn mistakes_are_reported_on_one_line_whatever_the_file_says() {
    for text in [
        "\"log\\nlevel\": info",
        "access: {nodes: [{\"a\\nb\\e[2J\": 1}]}",
        "access: {nodes: [{identity: \"a\\n{\", node_id: x, groups: x}]}",
        "access: {nodes: [{identity: \"{a\\nb}\", node_id: x, groups: x}]}",
        "access: {nodes: [{identity: \"{a}\\n{b}\", node_id: x, groups: x}]}",
        "protocol: {on_demand: [\"a\\nb\"]}",
        "log: {level: \"a=\\nb\"}",
        "xds: {drain: \"1\\nx\"}",
        "protocol: {quiet_removals: [\"a\\nb\"]}",
        "groups: [{group: \"a{\\n\"}]",
        "groups: [{group: \"{a\\nb}\"}]",
    ] {
        let error = match file(text) {
            Ok(layer) => Settings::resolve(layer).unwrap_err().to_string(),
            Err(error) => error,
        };
        assert!(!error.contains(crate::text::is_unsafe), "{error:?}");
    }
}

#[test]
fn the_help_of_a_flag_is_the_first_clause_of_its_meaning() {
    use clap::Args as _;
    let command = Layer::augment_args(clap::Command::new("serve"));
    let help = |id: &str| {
        let arg = command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
        let text = |help: Option<&clap::builder::StyledStr>| help.unwrap().to_string();
        (text(arg.get_help()), text(arg.get_long_help()))
    };
    let (short, long) = help("store.key_file");
    assert_eq!(short, "Seal the store in `data_dir` with the first key of this file");
    assert!(
        long.ends_with("; the other keys open what they sealed. See operations.md [default: none]"),
        "{long}"
    );
    let (short, long) = help("protocol.quiet_removals");
    assert_eq!(short, "Types whose removals are not sent in delta");
    assert!(
        long.ends_with("; a list in the file, comma-separated elsewhere [default: extension_config]"),
        "{long}"
    );
}

#[test]
fn settings_that_are_unset_are_those_of_the_parts() {
    let parts = Settings::resolve(Layer::default()).unwrap().parts;
    assert_eq!(format!("{parts:?}"), format!("{:?}", Parts::default()));
}

#[test]
fn each_flag_sets_its_key_and_no_other() {
    use clap::{Args as _, FromArgMatches as _};
    for setting in Layer::settings().iter().filter(|setting| setting.typed.is_some()) {
        let key = setting.key;
        let said = match setting.unit {
            "ADDR:PORT" => "127.0.0.1:7",
            "BOOL" => "true",
            "COUNT" => "7",
            "DURATION" => "7s",
            "FORMAT" => "json",
            "MODE" if key.ends_with("client_auth") => "none",
            "MODE" => "warn",
            "PORT" => "http",
            "SHARE" => "0.25",
            "SIZE" => "7KiB",
            _ => "x",
        };
        let flag = format!("--{}={said}", key.replace(['.', '_'], "-"));
        let command = Layer::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from(["serve", flag.as_str()]).unwrap();
        let layer = serde_json::to_value(Layer::from_arg_matches(&matches).unwrap()).unwrap();
        let mut found = &layer;
        for part in key.split('.') {
            assert_eq!(found.as_object().map(serde_json::Map::len), Some(1), "{flag}: {layer}");
            found = &found[part];
        }
        let text = found.to_string();
        assert_eq!(text.trim_matches(['[', ']', '"']), said, "{flag}: {layer}");
    }
}
