//! Admission of nodes and callers, checks after the rules change, and views without secrets.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::*;
use crate::{
    access::{AccessConfig, BearerError, JwtError, NewToken},
    audit::AuditSettings,
    connection::ClientCertificate,
    resource::{Resource, ResourceName, ResourceType},
    snapshot::{Completeness, Revision, TypeResources},
};

fn connection(uri: &str, not_after: SystemTime) -> Connection {
    Connection {
        peer: "127.0.0.1:1".parse().unwrap(),
        certificate: Some(Arc::new(ClientCertificate {
            uris: vec![uri.to_owned()],
            dns_names: Vec::new(),
            not_after,
            fingerprint: "ab".to_owned(),
        })),
        seat: Arc::default(),
    }
}

fn rules(yaml: &str) -> Rules {
    Rules::load(&serde_saphyr::from_str(yaml).unwrap()).unwrap()
}

fn authority(rules: Rules, dir: &Path) -> Authority {
    let settings = AuditSettings {
        file: Some(dir.join("audit.log")),
        ..AuditSettings::default()
    };
    let audit = AuditLog::open(settings).unwrap();
    Authority::new(rules, audit, AccessMetrics::default(), TaskTracker::new())
}

async fn identify(
    authority: &Authority,
    connection: Option<&Connection>,
    header: Option<&str>,
) -> Result<Visitor, Unverified> {
    authority
        .identify(PortLabel::Xds, Purpose::Node, "10.0.0.1:7", connection, header, "/s/M")
        .await
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

const NODES: &str = r#"
nodes:
- identity: "spiffe://prod/ns/{ns}"
  node_id: "{ns}/*"
  groups: "{ns}"
  secrets: "{ns}-*"
"#;

/// The metrics of a scrape, without comments.
fn counted(authority: &Authority) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    authority.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test]
async fn a_certificate_makes_a_node_and_a_refusal_is_counted_and_audited() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules(NODES), dir.path());
    let shop = connection("spiffe://prod/ns/shop", later());
    let visitor = identify(&authority, Some(&shop), None).await.unwrap();
    let (node, group) = ("shop/1".into(), "shop".into());
    let admitted = authority.admit(&visitor, &node, &group, "/s/M").unwrap();
    assert!(admitted.is_restricted() && admitted.expires().is_some());

    let denied = authority.admit(&visitor, &node, &"pay".into(), "/s/M");
    assert!(matches!(denied, Err(Denial::Group { .. })));
    let nobody = identify(&authority, None, None).await.unwrap();
    assert_eq!(
        authority.admit(&nobody, &node, &group, "/s/M").unwrap_err(),
        Denial::Anonymous
    );
    authority.note_secrets(&admitted, ["shop-tls", "pay-tls", "*"], "/s/M");

    let text = counted(&authority);
    for reason in ["group", "anonymous", "secret"] {
        let row = format!("xds_access_denied_total{{port=\"xds\",reason=\"{reason}\"}} 1");
        assert!(text.contains(&row), "{row}: {text}");
    }
    let log = fs::read_to_string(dir.path().join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert_eq!(
        (lines[0]["who"].as_str(), lines[0]["group"].as_str()),
        (Some("spiffe://prod/ns/shop"), Some("pay"))
    );
    assert_eq!(
        (&lines[1]["who"], &lines[1]["from"]),
        (&"".into(), &"10.0.0.1:7".into())
    );
    assert_eq!(lines[2]["resource"], "pay-tls");
    assert!(
        lines
            .iter()
            .all(|line| line["allowed"] == false && line["action"] == "/s/M")
    );
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules(NODES), dir.path());
    let old = connection("spiffe://prod/ns/shop", SystemTime::now() - Duration::from_secs(1));
    assert_eq!(
        identify(&authority, Some(&old), None).await.unwrap_err(),
        Unverified::Certificate
    );
}

#[tokio::test]
async fn a_token_is_taken_until_it_is_out_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    let made = NewToken::new("edge", None, &[1; 32], &[2; 16]).unwrap();
    fs::write(&file, &made.line).unwrap();
    let config: AccessConfig = serde_saphyr::from_str(&format!(
        "tokens_file: {}\nnodes: [{{token: edge, node_id: '*', groups: '*'}}]",
        file.display()
    ))
    .unwrap();
    let authority = authority(Rules::load(&config).unwrap(), dir.path());
    let header = format!("Bearer {}", made.token);
    for _ in 0..2 {
        let visitor = identify(&authority, None, Some(&header)).await.unwrap();
        assert_eq!(visitor.name(), "token:edge");
    }
    for (header, error) in [
        (format!("{header}x"), Unverified::Token),
        ("Bearer other.secret".to_owned(), Unverified::Token),
        ("Basic x".to_owned(), Unverified::Bearer(BearerError::Scheme)),
        ("Bearer a.b.c".to_owned(), Unverified::Kind),
    ] {
        assert_eq!(
            identify(&authority, None, Some(&header)).await.unwrap_err(),
            error,
            "{header}"
        );
    }
    let visitor = identify(&authority, None, Some(&header)).await.unwrap();
    let mut admitted = authority.admit(&visitor, &"n".into(), &"g".into(), "/s/M").unwrap();
    assert_eq!(authority.readmit(&mut admitted, "/s/M"), Ok(()));
    fs::write(&file, "").unwrap();
    assert!(authority.replace(Rules::load(&config).unwrap()));
    assert_ne!(authority.generation(), admitted.generation());
    assert_eq!(authority.readmit(&mut admitted, "/s/M"), Err(Denial::Expired.into()));
    assert_eq!(
        identify(&authority, None, Some(&header)).await.unwrap_err(),
        Unverified::Token
    );
}

#[tokio::test]
async fn a_service_account_is_a_node_by_its_jwt_until_its_key_is_gone() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let write = |pair: &Ed25519KeyPair| {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        fs::write(
            &keys,
            format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "x": "{x}"}}]}}"#),
        )
        .unwrap();
    };
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    write(&pair);
    let config: AccessConfig = serde_saphyr::from_str(&format!(
        "jwt: {{issuer: i, audience: chancery, keys_file: {}}}
nodes: [{{subject: 'system:serviceaccount:{{ns}}:{{sa}}', node_id: '{{ns}}/{{sa}}/*', groups: '{{ns}}'}}]",
        keys.display()
    ))
    .unwrap();
    let authority = authority(Rules::load(&config).unwrap(), dir.path());
    let seconds = later().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"iss":"i","aud":["chancery"],"sub":"system:serviceaccount:shop:cart","exp":{seconds}}}"#);
    let signed = [r#"{"alg":"EdDSA"}"#, &claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref());
    let header = format!("Bearer {signed}.{signature}");

    let visitor = identify(&authority, None, Some(&header)).await.unwrap();
    assert_eq!(visitor.name(), "jwt:system:serviceaccount:shop:cart");
    let admit = |id: &str, group: &str| authority.admit(&visitor, &id.into(), &group.into(), "");
    let mut admitted = admit("shop/cart/1", "shop").unwrap();
    assert!(admitted.expires().is_some());
    assert!(matches!(admit("shop/pay/1", "shop"), Err(Denial::Node { .. })));
    assert!(matches!(admit("shop/cart/1", "pay"), Err(Denial::Group { .. })));
    let refused = identify(&authority, None, Some(&format!("{header}x")))
        .await
        .unwrap_err();
    assert!(matches!(refused, Unverified::Jwt(_)));

    write(&Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap());
    assert!(authority.replace(Rules::load(&config).unwrap()));
    assert_eq!(authority.readmit(&mut admitted, ""), Err(Denial::Expired.into()));
    let refused = identify(&authority, None, Some(&header)).await.unwrap_err();
    assert_eq!(refused, Unverified::Jwt(JwtError::Signature));
}

#[tokio::test]
async fn rules_for_calls_ignore_the_credentials_of_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules("admin: []"), dir.path());
    let visitor = identify(&authority, None, Some("Bearer of.another.mesh"))
        .await
        .unwrap();
    assert!(visitor.identity.is_none());
    let call = Purpose::Call;
    let refused = authority.identify(PortLabel::Admin, call, "", None, Some("Bearer of.another.mesh"), "");
    assert_eq!(refused.await.unwrap_err(), Unverified::Kind);
}

#[tokio::test]
async fn changed_rules_are_checked_again_and_equal_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules(NODES), dir.path());
    let shop = connection("spiffe://prod/ns/shop", later());
    let visitor = identify(&authority, Some(&shop), None).await.unwrap();
    let mut admitted = authority.admit(&visitor, &"shop/1".into(), &"shop".into(), "").unwrap();
    assert!(!authority.replace(rules(NODES)), "nothing changed");
    assert_eq!(admitted.generation(), authority.generation());
    assert!(authority.replace(rules(&NODES.replace("{ns}-*", "{ns}-tls"))));
    assert_eq!(authority.readmit(&mut admitted, ""), Err(Dismissal::Changed));
    assert!(authority.replace(rules("nodes: []")));
    assert!(matches!(
        authority.readmit(&mut admitted, ""),
        Err(Dismissal::Denied(Denial::Stranger(_)))
    ));
}

#[tokio::test]
async fn without_rules_credentials_are_ignored() {
    let authority = Authority::open();
    let visitor = identify(&authority, None, Some("Bearer nonsense")).await.unwrap();
    assert!(visitor.identity.is_none());
    let admitted = authority.admit(&visitor, &"n".into(), &"g".into(), "").unwrap();
    assert!(!admitted.is_restricted());
    let all = snapshot(&["a"]);
    assert!(Arc::ptr_eq(&authority.view(Arc::clone(&all), &admitted), &all));
    assert!(authority.caller(&visitor, Right::Administer).is_ok());
}

fn snapshot(secrets: &[&str]) -> Arc<Snapshot> {
    let resource = |name: &&str| Arc::new(Resource::empty_endpoints(&ResourceName::from(*name)));
    let set = TypeResources::new(secrets.iter().map(resource).collect()).unwrap();
    let types = BTreeMap::from([(ResourceType::Secret, Arc::new(set))]);
    Arc::new(Snapshot::new(
        "shop".into(),
        Revision(1),
        types,
        Completeness::Published,
    ))
}

#[tokio::test]
async fn nodes_see_their_secrets_and_share_their_views() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules(NODES), dir.path());
    let shop = connection("spiffe://prod/ns/shop", later());
    let visitor = identify(&authority, Some(&shop), None).await.unwrap();
    let admit = |id: &str| authority.admit(&visitor, &id.into(), &"shop".into(), "").unwrap();
    let (first, second) = (admit("shop/1"), admit("shop/2"));
    let all = snapshot(&["pay-tls", "shop-tls"]);
    let seen = authority.view(Arc::clone(&all), &first);
    assert!(seen.resource(&ResourceType::Secret, "shop-tls").is_some());
    assert!(seen.resource(&ResourceType::Secret, "pay-tls").is_none());
    assert!(Arc::ptr_eq(&seen, &authority.view(all, &second)));
    let changed = authority.view(snapshot(&["pay-new", "shop-tls"]), &first);
    let secrets = |snapshot: &Snapshot| Arc::clone(snapshot.get(&ResourceType::Secret).unwrap());
    assert!(
        Arc::ptr_eq(&secrets(&seen), &secrets(&changed)),
        "nothing that it sees changed"
    );
}

/// Rules with one token, and the text of that token.
fn with_token(dir: &Path) -> (Rules, String) {
    let made = NewToken::new("ci", None, &[7; 32], &[9; 16]).unwrap();
    let file = dir.join("tokens");
    fs::write(&file, &made.line).unwrap();
    let yaml = format!(
        "{{nodes: [{{token: ci, node_id: '*', groups: '*'}}], tokens_file: '{}'}}",
        file.display()
    );
    (rules(&yaml), format!("Bearer {}", made.token))
}

fn from_peer(last: u8) -> Connection {
    Connection {
        peer: ([10, 0, 0, last], 1).into(),
        certificate: None,
        seat: Arc::default(),
    }
}

/// The results of 20 checks that one peer begins at once.
async fn begun(authority: &Authority, peer: u8, header: impl Fn(usize) -> String) -> Vec<Result<Visitor, Unverified>> {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (authority, header) = (authority.clone(), header(number));
        all.spawn(async move { identify(&authority, Some(&from_peer(peer)), Some(&header)).await });
    }
    all.join_all().await
}

#[tokio::test]
async fn guesses_of_one_peer_leave_the_checks_of_tokens_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, right) = with_token(dir.path());
    let authority = authority(rules, dir.path());
    let wrong = |number: usize| format!("Bearer ci.guess-{number}");
    let (guesses, other) = tokio::join!(begun(&authority, 1, wrong), async {
        // This check queues behind all of the guesses.
        tokio::task::yield_now().await;
        identify(&authority, Some(&from_peer(2)), Some(&right)).await
    });
    assert!(other.is_ok(), "{other:?}");
    let busy = guesses
        .iter()
        .filter(|guess| matches!(guess, Err(Unverified::Busy)))
        .count();
    assert!(busy >= 10, "only {busy} of 20 guesses at once were sent away unchecked");
    assert!(guesses.iter().all(Result::is_err));
}

#[tokio::test]
async fn unknown_names_and_known_guesses_are_refused_without_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, _) = with_token(dir.path());
    let authority = authority(rules, dir.path());
    // A hash check would exceed the limit of checks per peer.
    let unknown = begun(&authority, 1, |number| format!("Bearer other-{number}.guess")).await;
    assert!(
        unknown.iter().all(|refused| matches!(refused, Err(Unverified::Token))),
        "{unknown:?}"
    );
    let first = identify(&authority, Some(&from_peer(1)), Some("Bearer ci.old")).await;
    assert!(matches!(first, Err(Unverified::Token)), "{first:?}");
    let again = begun(&authority, 1, |_| "Bearer ci.old".to_owned()).await;
    assert!(
        again.iter().all(|refused| matches!(refused, Err(Unverified::Token))),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_wrong_token_is_accepted_once_the_file_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (rules_of_new, right) = with_token(dir.path());
    let other = NewToken::new("ci", None, &[8; 32], &[9; 16]).unwrap();
    fs::write(dir.path().join("tokens"), other.line).unwrap();
    let yaml = format!(
        "{{nodes: [{{token: ci, node_id: '*', groups: '*'}}], tokens_file: '{}'}}",
        dir.path().join("tokens").display()
    );
    let authority = authority(rules(&yaml), dir.path());
    assert!(identify(&authority, None, Some(&right)).await.is_err());
    assert!(authority.replace(rules_of_new));
    assert!(identify(&authority, None, Some(&right)).await.is_ok());
}

#[tokio::test]
async fn denied_secrets_of_one_request_are_named_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(rules(NODES), dir.path());
    let shop = connection("spiffe://prod/ns/shop", later());
    let visitor = identify(&authority, Some(&shop), None).await.unwrap();
    let admitted = authority
        .admit(&visitor, &"shop/1".into(), &"shop".into(), "/s/M")
        .unwrap();
    let names: Vec<String> = (0..NOTED + 1000).map(|number| format!("pay-{number}")).collect();
    authority.note_secrets(&admitted, names.iter().map(String::as_str), "/s/Fetch");
    let row = format!(
        "xds_access_denied_total{{port=\"xds\",reason=\"secret\"}} {}\n",
        NOTED + 1
    );
    let text = counted(&authority);
    assert!(text.contains(&row), "{row}: {text}");
}
