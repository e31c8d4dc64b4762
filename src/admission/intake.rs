//! The intake of one candidate: decodes, names and checks every document and resource, and makes [`Resource`]s or
//! findings of them.

mod inspection;
mod known;
mod name;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use prost::{Message as _, encoding::DecodeContext};
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _};

pub use self::known::Known;
use self::{
    inspection::Inspection,
    name::{Envelope, Misnamed, WRAPPER},
};
use super::{
    Admitted, Document, Format, Limits, Places, RawResource, Rejection, Severity, canonical, claim, codes, document,
    finding::{Findings, Position, Subject},
    inspect::{self, Depth},
    located::{Located, Mention},
    message::{Builder, TYPE_KEY},
    path::Path,
    place::Positions,
    tree::{self, Node},
    warming,
};
use crate::{
    proto::discovery,
    resource::{ContentHash, Reference, Resource, ResourceName, ResourceType, Version},
};

#[derive(Debug)]
pub(super) struct Intake<'a> {
    limits: &'a Limits,
    known: Option<&'a dyn Known>,
    /// The time at which certificates must be valid.
    now: Option<SystemTime>,
    findings: Findings,
    resources: BTreeMap<ResourceType, Vec<Arc<Resource>>>,
    /// The names and aliases taken so far, each with the origin of its resource.
    names: HashMap<(ResourceType, ResourceName), Origin<'a>>,
    places: Places,
    count: usize,
    bytes: usize,
    /// True after a limit over all resources was exceeded: one error was pushed, and the rest is skipped.
    full: bool,
}

/// The origin of a resource.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    document: Option<&'a str>,
    at: Position,
    /// The index in the document or in the request.
    index: usize,
}

/// A resource after decoding, before it is named.
struct Decoded<'a, 't> {
    origin: Origin<'a>,
    envelope: Envelope,
    message: DynamicMessage,
    /// The `Any` to be served.
    any: prost_types::Any,
    /// The deterministic encoding of the content.
    canonical: Bytes,
    references: BTreeMap<Reference, Mention>,
    positions: Positions<'t>,
    /// True if the content has no errors. Otherwise only its name is checked, so that all findings come at once.
    sound: bool,
}

// === impl Origin ===

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.document {
            Some(document) if self.at.line > 0 => write!(f, "{document}:{}:{}", self.at.line, self.at.column),
            Some(document) => write!(f, "resource {} of {document}", self.index),
            None => write!(f, "resource {} of the request", self.index),
        }
    }
}

impl<'a> Origin<'a> {
    fn subject(&self) -> Subject<'a> {
        Subject {
            document: self.document,
            ..Subject::default()
        }
    }
}

// === impl Intake ===

impl<'a> Intake<'a> {
    pub(super) fn new(limits: &'a Limits, known: Option<&'a dyn Known>, now: Option<SystemTime>) -> Self {
        Self {
            limits,
            known,
            now,
            findings: Findings::new(limits.findings),
            resources: BTreeMap::new(),
            names: HashMap::new(),
            places: Places::default(),
            count: 0,
            bytes: 0,
            full: false,
        }
    }

    pub(super) fn document(&mut self, document: &'a Document) {
        let subject = Subject {
            document: Some(&document.name),
            ..Subject::default()
        };
        if !document::fits(document.content.len(), &mut self.builder(subject)) {
            return;
        }
        match document.format {
            Format::Yaml | Format::Json => self.text(document, subject),
            Format::Binary => self.binary(document, subject),
        }
    }

    fn text(&mut self, document: &'a Document, subject: Subject<'a>) {
        let tree = match tree::parse(&document.content, self.limits) {
            Ok(tree) => tree,
            Err(error) => return document::unreadable(&error, &mut self.builder(subject)),
        };
        let items = document::items(&tree, &mut self.builder(subject)).unwrap_or_default();
        for (index, node) in items.iter().enumerate() {
            let origin = Origin {
                document: Some(&document.name),
                at: node.at,
                index,
            };
            self.node(origin, node);
        }
    }

    fn binary(&mut self, document: &'a Document, subject: Subject<'a>) {
        // An empty resource is two bytes, but takes dozens of times as much once decoded.
        let limit = self.limits.resources;
        if has_more_fields(&document.content, limit.saturating_add(OTHER_FIELDS)) {
            let message = format!("holds more resources than the {limit} that a snapshot may have");
            let mut builder = self.builder(subject);
            return builder.error(codes::LIMIT, Position::default(), &Path::ROOT, message);
        }
        let response = match discovery::DiscoveryResponse::decode(document.content.clone()) {
            Ok(response) => response,
            Err(cause) => {
                let message = format!("not an encoded DiscoveryResponse: {cause}");
                let mut builder = self.builder(subject);
                return builder.error(codes::MALFORMED, Position::default(), &Path::ROOT, message);
            }
        };
        for (index, any) in response.resources.into_iter().enumerate() {
            let origin = Origin {
                document: Some(&document.name),
                at: Position::default(),
                index,
            };
            self.encoded(origin, Envelope::default(), any);
        }
    }

    /// Takes in an encoded resource from the API.
    pub(super) fn raw(&mut self, index: usize, raw: &RawResource) {
        let origin = Origin {
            document: None,
            at: Position::default(),
            index,
        };
        self.encoded(origin, Envelope::of_raw(raw), raw.any.clone());
    }

    /// The admitted resources, or all findings.
    pub(super) fn finish(mut self) -> Result<Admitted, Rejection> {
        for resources in self.resources.values_mut() {
            resources.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Admitted {
            findings: self.findings.finish()?,
            resources: self.resources,
            places: self.places,
        })
    }

    const fn builder<'b>(&'b mut self, subject: Subject<'b>) -> Builder<'b> {
        Builder {
            limits: self.limits,
            subject,
            findings: &mut self.findings,
            hidden: false,
        }
    }

    fn refuse(&mut self, origin: Origin<'_>, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        // Without a document, only the index identifies a resource that has no name.
        let message = match origin.document {
            Some(_) if origin.at.line > 0 => message.into(),
            Some(_) | None => format!("{origin}: {}", message.into()),
        };
        self.builder(origin.subject()).error(code, origin.at, path, message);
    }

    // --- written out ---

    fn node(&mut self, origin: Origin<'a>, node: &Node) {
        if self.full {
            return;
        }
        let subject = origin.subject();
        let Some((type_url, descriptor)) = self.builder(subject).type_of(node, &Path::ROOT) else {
            return;
        };
        if descriptor.full_name() != WRAPPER {
            return self.written(origin, Envelope::default(), node, &type_url, &descriptor);
        }
        let mut builder = self.builder(subject);
        let skip = [TYPE_KEY, "resource"];
        let wrapper = builder.fields(&descriptor, node, &Path::ROOT, Depth::RESOURCE, &skip);
        let Some(inner) = node.get("resource") else {
            return builder.error(codes::LAYOUT, node.at, &Path::ROOT, "the wrapper has no \"resource\"");
        };
        let inner_type = builder.type_of(inner, &Path::ROOT.field("resource"));
        let wrapper = wrapper.and_then(|wrapper| wrapper.transcode_to::<discovery::Resource>().ok());
        let (Some(wrapper), Some((type_url, descriptor))) = (wrapper, inner_type) else {
            return;
        };
        if let Some(envelope) = self.open(origin, &wrapper, Envelope::default()) {
            self.written(origin, envelope, inner, &type_url, &descriptor);
        }
    }

    fn written(
        &mut self,
        origin: Origin<'a>,
        envelope: Envelope,
        node: &Node,
        type_url: &str,
        descriptor: &MessageDescriptor,
    ) {
        let resource_type = ResourceType::from_message_name(descriptor.full_name());
        let expected = resource_type.type_url();
        if expected != type_url || descriptor.full_name() == WRAPPER {
            return self.refuse_type(origin, type_url, expected);
        }
        let peeked = name::peek(&envelope, node);
        let subject = Subject {
            type_url: Some(expected),
            resource: peeked.as_deref(),
            ..origin.subject()
        };
        let mut builder = self.builder(subject);
        let Some(message) = builder.typed(descriptor, node, &Path::ROOT, Depth::RESOURCE) else {
            return;
        };
        let value = Bytes::from(canonical::encode(&message, canonical::Anys::Keep));
        let positions = Positions::in_tree(node);
        let (references, sound) = self.inspect(subject, &resource_type, positions, &message);
        let any = prost_types::Any {
            type_url: expected.to_owned(),
            value: value.to_vec(),
        };
        self.settle(
            &resource_type,
            Decoded {
                origin,
                envelope,
                message,
                any,
                canonical: value,
                references,
                positions,
                sound,
            },
        );
    }

    // --- encoded ---

    fn encoded(&mut self, origin: Origin<'a>, envelope: Envelope, any: prost_types::Any) {
        if self.full {
            return;
        }
        if any.type_url.rsplit_once('/').map(|(_, name)| name) != Some(WRAPPER) {
            return self.decoded(origin, envelope, any);
        }
        let wrapper = match discovery::Resource::decode(any.value.as_slice()) {
            Ok(wrapper) => wrapper,
            Err(cause) => {
                let message = format!("not a {WRAPPER}: {cause}");
                return self.refuse(origin, codes::UNDECODABLE, &Path::ROOT, message);
            }
        };
        let Some(envelope) = self.open(origin, &wrapper, envelope) else {
            return;
        };
        match wrapper.resource {
            Some(inner) => self.decoded(origin, envelope, inner),
            None => self.refuse(origin, codes::LAYOUT, &Path::ROOT, "the wrapper has no \"resource\""),
        }
    }

    fn decoded(&mut self, origin: Origin<'a>, envelope: Envelope, any: prost_types::Any) {
        if let Some((resource_type, resource)) = self.known.and_then(|known| known::same(known, &envelope, &any)) {
            return self.add(origin, &resource_type, resource);
        }
        if any.value.len() > self.limits.resource_bytes {
            let message = too_large(any.value.len(), self.limits);
            return self.refuse(origin, codes::LIMIT, &Path::ROOT, message);
        }
        let value = Bytes::from(any.value);
        let message = match inspect::decode(&any.type_url, value.clone()) {
            Ok(message) => message,
            Err(fault) => return self.refuse(origin, fault.code(), &Path::ROOT, fault.to_string()),
        };
        let descriptor = message.descriptor();
        let resource_type = ResourceType::from_message_name(descriptor.full_name());
        let expected = resource_type.type_url();
        if expected != any.type_url || descriptor.full_name() == WRAPPER {
            return self.refuse_type(origin, &any.type_url, expected);
        }
        let own = name::own(&resource_type, &message).or_else(|| envelope.name.clone());
        let subject = Subject {
            type_url: Some(expected),
            resource: own.as_deref().filter(|name| !name.is_empty()),
            ..origin.subject()
        };
        let positions = Positions::encoded(origin.at);
        let (references, sound) = self.inspect(subject, &resource_type, positions, &message);
        // A resource that is nested too deep is not traversed again.
        let canonical = match sound {
            true => Bytes::from(canonical::encode(&message, canonical::Anys::Canonicalize)),
            false => Bytes::new(),
        };
        let any = prost_types::Any {
            type_url: any.type_url,
            value: value.into(),
        };
        self.settle(
            &resource_type,
            Decoded {
                origin,
                envelope,
                message,
                any,
                canonical,
                references,
                positions,
                sound,
            },
        );
    }

    // --- both ---

    fn refuse_type(&mut self, origin: Origin<'_>, type_url: &str, expected: &str) {
        let message = if type_url == expected {
            "a Resource wrapper inside a Resource wrapper".to_owned()
        } else {
            format!("\"{type_url}\": the type URL of a resource is \"{expected}\"")
        };
        self.refuse(origin, codes::UNKNOWN_TYPE, &Path::ROOT.field(TYPE_KEY), message);
    }

    /// Merges the fields of a wrapper with those given around it, and warns of fields that are ignored.
    fn open(&mut self, origin: Origin<'_>, wrapper: &discovery::Resource, outer: Envelope) -> Option<Envelope> {
        for unused in name::unused_parts(wrapper) {
            let path = &Path::ROOT.field(unused);
            let message = "not used by this server";
            let subject = origin.subject();
            let finding = subject.finding(Severity::Warning, codes::WRAPPER, origin.at, path, message);
            self.findings.push(finding);
        }
        match outer.merge(wrapper) {
            Ok(envelope) => Some(envelope),
            Err((code, message)) => {
                self.refuse(origin, code, &Path::ROOT, message);
                None
            }
        }
    }

    /// Inspects a message; returns its references, and true if it has no errors.
    fn inspect(
        &mut self,
        subject: Subject<'_>,
        resource_type: &ResourceType,
        positions: Positions<'_>,
        message: &DynamicMessage,
    ) -> (BTreeMap<Reference, Mention>, bool) {
        let (before, now) = (self.findings.errors(), self.now);
        let is_empty = |name: String| name.is_empty();
        let nameless =
            name::own_field(resource_type).filter(|_| name::own(resource_type, message).is_some_and(is_empty));
        let references = Inspection::of(message, self.builder(subject), positions, nameless, now);
        (references, self.findings.errors() == before)
    }

    /// Names a resource, and adds it to the others.
    fn settle(&mut self, resource_type: &ResourceType, decoded: Decoded<'a, '_>) {
        let origin = decoded.origin;
        let named = name::name(resource_type, &decoded.message, &decoded.envelope, self.limits);
        let (name, aliases) = match named {
            Ok(named) => named,
            Err(misnamed) => return self.misnamed(resource_type, &decoded, misnamed),
        };
        if !decoded.sound {
            self.is_unique(resource_type, origin, &name, &aliases);
            return;
        }
        let body = Bytes::from(decoded.any.encode_to_vec());
        let ttl = decoded.envelope.ttl;
        let content = ContentHash::of(resource_type, &name, &aliases, ttl, &decoded.canonical);
        let places = claim::places(resource_type, &name, &decoded.message);
        let warming = warming::warming(resource_type, &decoded.message, decoded.references.keys());
        let resource = Resource {
            name,
            version: Version::from(content),
            content,
            aliases: aliases.into(),
            ttl,
            body,
            references: decoded.references.keys().cloned().collect(),
            places,
            warming,
        };
        let located = Located {
            document: origin.document.map(str::to_owned),
            at: origin.at,
            references: decoded.references.into_iter().collect(),
        };
        self.places.add(resource_type, &resource.name, located);
        self.add(origin, resource_type, Arc::new(resource));
    }

    fn misnamed(&mut self, resource_type: &ResourceType, decoded: &Decoded<'_, '_>, misnamed: Misnamed) {
        let origin = decoded.origin;
        let own = name::own(resource_type, &decoded.message);
        let resource = own.or_else(|| decoded.envelope.name.clone());
        let subject = Subject {
            type_url: Some(resource_type.type_url()),
            resource: resource.as_deref().filter(|name| !name.is_empty()),
            ..origin.subject()
        };
        let Misnamed { field, message } = misnamed;
        let message = match origin.document {
            Some(_) if origin.at.line > 0 => message,
            Some(_) | None => format!("{origin}: {message}"),
        };
        let path = field.map_or(Path::ROOT, |field| Path::ROOT.field(field));
        let at = decoded.positions.of(&path);
        self.builder(subject).error(codes::NAME, at, &path, message);
    }

    /// Adds a resource, if the limits and the names taken allow it.
    fn add(&mut self, origin: Origin<'a>, resource_type: &ResourceType, resource: Arc<Resource>) {
        let (name, aliases) = (&resource.name, &resource.aliases);
        if self.is_unique(resource_type, origin, name, aliases)
            && self.fits(resource_type, origin, name, resource.body.len())
        {
            self.resources.entry(resource_type.clone()).or_default().push(resource);
        }
    }

    fn is_unique(
        &mut self,
        resource_type: &ResourceType,
        origin: Origin<'a>,
        name: &ResourceName,
        aliases: &[ResourceName],
    ) -> bool {
        let mut unique = true;
        for (index, known_as) in std::iter::once(name).chain(aliases).enumerate() {
            let key = (resource_type.clone(), known_as.clone());
            let Some(first) = self.names.get(&key).copied() else {
                self.names.insert(key, origin);
                continue;
            };
            let what = if index == 0 { "name" } else { "alias" };
            let message = format!("{what} \"{known_as}\" is taken: {first} and {origin} both answer to it");
            let subject = Subject {
                type_url: Some(resource_type.type_url()),
                resource: Some(name.as_str()),
                ..origin.subject()
            };
            self.builder(subject)
                .error(codes::DUPLICATE, origin.at, &Path::ROOT, message);
            unique = false;
        }
        unique
    }

    fn fits(&mut self, resource_type: &ResourceType, origin: Origin<'_>, name: &ResourceName, bytes: usize) -> bool {
        self.count += 1;
        self.bytes += bytes;
        let limits = self.limits;
        let message = if self.count > limits.resources {
            self.full = true;
            format!("more than {} resources", limits.resources)
        } else if self.bytes > limits.total_bytes {
            self.full = true;
            format!("all resources together take more than {} bytes", limits.total_bytes)
        } else if bytes > limits.resource_bytes {
            too_large(bytes, limits)
        } else {
            return true;
        };
        let subject = Subject {
            type_url: Some(resource_type.type_url()),
            resource: Some(name.as_str()),
            ..origin.subject()
        };
        self.builder(subject)
            .error(codes::LIMIT, origin.at, &Path::ROOT, message);
        false
    }
}

fn too_large(bytes: usize, limits: &Limits) -> String {
    format!(
        "{bytes} bytes encoded, more than the {} that a resource may have",
        limits.resource_bytes
    )
}

/// The number of fields other than resources in an encoded document; more than anyone writes.
const OTHER_FIELDS: usize = 1_000;

/// Returns true if an encoded message has more than `most` fields; false if it is truncated, which decoding refuses.
fn has_more_fields(encoded: &[u8], most: usize) -> bool {
    let mut rest = encoded;
    for _ in 0..=most {
        let Ok((tag, wire_type)) = prost::encoding::decode_key(&mut rest) else {
            return false;
        };
        if prost::encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            return false;
        }
    }
    true
}
