//! Messages made from the descriptors: for every field with rules, values at and beyond each bound, in an otherwise valid
//! message, alone and inside a message that can contain it.

use std::{collections::HashMap, sync::LazyLock};

use chancery::proto::{
    self,
    validate::{FieldRules, RepeatedRules, StringRules, field_rules::Type},
};
use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    Value,
};

/// A message, and the variation in it.
pub(crate) struct Case {
    pub(crate) message: DynamicMessage,
    pub(crate) what: String,
}

/// The maximum depth of a valid message: some contain themselves.
const DEPTH: usize = 8;
/// The longest value; only bounds of megabytes are beyond it.
const LONGEST: u64 = 20_000;

static RULES: LazyLock<ExtensionDescriptor> = LazyLock::new(|| extension("validate.rules"));
static REQUIRED: LazyLock<ExtensionDescriptor> = LazyLock::new(|| extension("validate.required"));

fn extension(name: &str) -> ExtensionDescriptor {
    proto::descriptors().get_extension_by_name(name).unwrap()
}

/// The number of cases to run: the other implementation takes some minutes for all of them.
const ASKED: usize = 3000;

/// The same few thousand cases in each run, or all with `RULES_ALL`.
pub(crate) fn some() -> Vec<Case> {
    let mut cases = all();
    if std::env::var_os("RULES_ALL").is_some() {
        return cases;
    }
    // SplitMix64: each case gets a number from a fixed seed, and those with the smallest numbers run.
    let number = |index: usize| {
        let mut mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let bound = u64::MAX / (cases.len() / ASKED).max(1) as u64;
    let mut index = 0;
    cases.retain(|_| {
        index += 1;
        number(index) < bound
    });
    cases
}

/// All cases, in the order of the descriptors.
fn all() -> Vec<Case> {
    let holders = holders();
    let mut cases = Vec::new();
    let messages = proto::descriptors().all_messages();
    for message in messages.filter(|message| message.full_name().starts_with("envoy.") && !message.is_map_entry()) {
        let Some(good) = minimal(&message, DEPTH) else {
            continue;
        };
        let from = cases.len();
        for field in message.fields() {
            vary_field(&good, &field, &mut cases);
        }
        for oneof in message.oneofs() {
            if oneof.options().get_extension(&REQUIRED).as_bool() == Some(true) {
                let mut bad = good.clone();
                oneof.fields().for_each(|member| bad.clear_field(&member));
                let what = format!("{}: no {}", message.full_name(), oneof.name());
                cases.push(Case { message: bad, what });
            }
        }
        if let Some(holder) = holders.get(message.full_name()) {
            let held: Vec<Case> = cases[from..].iter().filter_map(|case| hold(holder, case)).collect();
            cases.extend(held);
        }
    }
    cases
}

/// For each message type the first field of another message type that can contain it.
fn holders() -> HashMap<String, FieldDescriptor> {
    let mut holders = HashMap::new();
    for message in proto::descriptors()
        .all_messages()
        .filter(|message| !message.is_map_entry())
    {
        for field in message.fields().filter(|field| !field.is_map()) {
            if let Kind::Message(held) = field.kind()
                && held != message
            {
                holders.entry(held.full_name().to_owned()).or_insert(field);
            }
        }
    }
    holders
}

fn hold(holder: &FieldDescriptor, case: &Case) -> Option<Case> {
    let mut message = minimal(holder.parent_message(), DEPTH)?;
    let held = Value::Message(case.message.clone());
    message.set_field(
        holder,
        if holder.is_list() {
            Value::List(vec![held])
        } else {
            held
        },
    );
    let what = format!("{}, in {}", case.what, holder.full_name());
    Some(Case { message, what })
}

fn rules_of(field: &FieldDescriptor) -> Option<FieldRules> {
    let options = field.options();
    options
        .get_extension(&RULES)
        .as_message()?
        .transcode_to()
        .ok()
        .filter(|_| options.has_extension(&RULES))
}

// --- good messages ---

/// The smallest message that satisfies its rules, or `None` if there is none.
fn minimal(descriptor: &MessageDescriptor, depth: usize) -> Option<DynamicMessage> {
    let depth = depth.checked_sub(1)?;
    let mut message = DynamicMessage::new(descriptor.clone());
    if descriptor.full_name() == "google.protobuf.Any" {
        message.set_field_by_number(1, Value::String("type.googleapis.com/google.protobuf.Empty".to_owned()));
        return Some(message);
    }
    for field in descriptor.fields().filter(|field| field.containing_oneof().is_none()) {
        if let Some(rules) = rules_of(&field).filter(|rules| !field.supports_presence() || is_required(rules)) {
            message.set_field(&field, good(&field, &rules, depth)?);
        }
    }
    for oneof in descriptor.oneofs() {
        if oneof.options().get_extension(&REQUIRED).as_bool() == Some(true) {
            let (member, value) = oneof.fields().find_map(|member| {
                let value = good(&member, &rules_of(&member).unwrap_or_default(), depth)?;
                Some((member, value))
            })?;
            message.set_field(&member, value);
        }
    }
    Some(message)
}

fn is_required(rules: &FieldRules) -> bool {
    match &rules.r#type {
        Some(Type::Any(rules)) => rules.required(),
        Some(Type::Duration(rules)) => rules.required(),
        Some(Type::Timestamp(rules)) => rules.required(),
        _ => rules.message.is_some_and(|message| message.required()),
    }
}

/// A value that satisfies the rules.
fn good(field: &FieldDescriptor, rules: &FieldRules, depth: usize) -> Option<Value> {
    match &rules.r#type {
        Some(Type::Repeated(list)) => {
            let count = list.min_items();
            (0..count)
                .map(|index| item(field, list, index, depth))
                .collect::<Option<_>>()
                .map(Value::List)
        }
        Some(Type::Map(map)) => {
            let (key, value) = entry(field)?;
            let keys = map.keys.as_deref().cloned().unwrap_or_default();
            let values = map.values.as_deref().cloned().unwrap_or_default();
            let mut entries = HashMap::new();
            for index in 0..map.min_pairs() {
                entries.insert(
                    map_key(good_single(&key, &keys, index, depth)?),
                    good_single(&value, &values, index, depth)?,
                );
            }
            Some(Value::Map(entries))
        }
        _ if field.cardinality() == Cardinality::Repeated => Some(field.default_value()),
        _ => good_single(&field.kind(), rules, 0, depth),
    }
}

fn entry(field: &FieldDescriptor) -> Option<(Kind, Kind)> {
    let kind = field.kind();
    let entry = kind.as_message()?;
    Some((entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind()))
}

fn map_key(value: Value) -> MapKey {
    match value {
        Value::String(text) => MapKey::String(text),
        Value::U32(number) => MapKey::U32(number),
        other => panic!("no map of Envoy's has a key like {}", describe(&other)),
    }
}

fn item(field: &FieldDescriptor, list: &RepeatedRules, index: u64, depth: usize) -> Option<Value> {
    let rules = list.items.as_deref().cloned().unwrap_or_default();
    good_single(&field.kind(), &rules, index, depth)
}

fn good_single(kind: &Kind, rules: &FieldRules, index: u64, depth: usize) -> Option<Value> {
    if let Kind::Message(message) = kind
        && matches!(rules.r#type, Some(Type::Any(_)) | None)
    {
        return minimal(message, depth).map(Value::Message);
    }
    // A value in the middle of the permitted range.
    Some(match (&rules.r#type, kind) {
        (Some(Type::String(rules)), _) => wrapped(kind, Value::String(good_text(rules, index))),
        (Some(Type::Enum(rules)), Kind::Enum(descriptor)) => {
            let allowed =
                |number: &i32| (rules.r#in.is_empty() || rules.r#in.contains(number)) && !rules.not_in.contains(number);
            let numbers: Vec<i32> = descriptor
                .values()
                .map(|value| value.number())
                .filter(allowed)
                .collect();
            let index = usize::try_from(index).ok()?;
            Value::EnumNumber(*numbers.get(index % numbers.len().max(1))?)
        }
        (Some(Type::Bool(rules)), _) => wrapped(kind, Value::Bool(rules.r#const())),
        (Some(Type::Bytes(rules)), _) => {
            let len = usize::try_from(rules.min_len()).ok()?;
            wrapped(kind, Value::Bytes(vec![b'a'; len].into()))
        }
        (Some(rules), _) => {
            let bounds = Bounds::of(rules);
            wrapped(kind, bounds.value(kind, bounds.inside()))
        }
        (None, Kind::String) => Value::String(format!("a{index}")),
        (None, _) => kind.default_value(),
    })
}

fn good_text(rules: &StringRules, index: u64) -> String {
    if let Some(allowed) = rules.r#in.first() {
        return allowed.clone();
    }
    match rules.pattern() {
        pattern if pattern.contains("mmdb") => return "a.mmdb".to_owned(),
        pattern if pattern.starts_with("^$|^/") => return "/a".to_owned(),
        _ => {}
    }
    let digits = index.to_string();
    let body = rules.min_len().max(2).saturating_sub(digits.len() as u64);
    let body = "a".repeat(usize::try_from(body).unwrap());
    format!("{}{body}{digits}{}", rules.prefix(), rules.suffix())
}

/// The value in its wrapper message, if the field has one.
fn wrapped(kind: &Kind, value: Value) -> Value {
    match kind {
        Kind::Message(message) if message.full_name().ends_with("Value") => {
            let mut wrapper = DynamicMessage::new(message.clone());
            wrapper.set_field_by_number(1, value);
            Value::Message(wrapper)
        }
        _ => value,
    }
}

// --- varied messages ---

fn vary_field(good: &DynamicMessage, field: &FieldDescriptor, cases: &mut Vec<Case>) {
    let Some(rules) = rules_of(field) else {
        return;
    };
    let mut tried = match &rules.r#type {
        Some(Type::Repeated(list)) => lists(field, list),
        Some(Type::Map(map)) => {
            let keys = map.keys.as_deref().cloned().unwrap_or_default();
            maps(field, &keys, map.min_pairs())
        }
        _ => singles(&field.kind(), &rules),
    };
    if let (Kind::Message(message), false) = (field.kind(), field.is_list() || field.is_map()) {
        tried.extend(minimal(&message, DEPTH).map(Value::Message));
    }
    let name = field.full_name();
    for value in tried {
        let mut message = good.clone();
        let what = format!("{name}: {}", describe(&value));
        message.set_field(field, value);
        cases.push(Case { message, what });
    }
    let mut message = good.clone();
    message.clear_field(field);
    let what = format!("{name}: not given");
    cases.push(Case { message, what });
}

/// A short description of a value. A message's own would include its descriptor, with all that this refers to.
fn describe(value: &Value) -> String {
    match value {
        Value::Message(message) => {
            let fields: Vec<String> = message
                .fields()
                .map(|(field, value)| format!("{} {}", field.name(), describe(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::List(values) => format!("{} items, first {:?}", values.len(), values.first().map(describe)),
        Value::Map(entries) => format!("{} entries, {:?}", entries.len(), entries.keys().next()),
        Value::String(text) if text.len() > 80 => format!("{} bytes", text.len()),
        scalar => format!("{scalar:?}"),
    }
}

/// Lists around the bounds of their lengths, with each varied item, and with a repeated item.
fn lists(field: &FieldDescriptor, list: &RepeatedRules) -> Vec<Value> {
    let of_len = |len: u64| {
        (0..len)
            .map(|index| item(field, list, index, DEPTH))
            .collect::<Option<Vec<_>>>()
    };
    let around = |bound: u64| [bound.saturating_sub(1), bound, bound + 1];
    let mut lens: Vec<u64> = [list.min_items, list.max_items]
        .into_iter()
        .flatten()
        .flat_map(around)
        .collect();
    lens.push(1);
    lens.dedup();
    let mut lists: Vec<Vec<Value>> = lens
        .into_iter()
        .filter(|len| *len <= LONGEST)
        .filter_map(of_len)
        .collect();
    if let Some(two) = item(field, list, 0, DEPTH) {
        lists.push(vec![two.clone(), two]);
    }
    if let Some(rules) = &list.items {
        lists.extend(singles(&field.kind(), rules).into_iter().map(|value| vec![value]));
    }
    lists.into_iter().map(Value::List).collect()
}

fn maps(field: &FieldDescriptor, keys: &FieldRules, min: u64) -> Vec<Value> {
    let Some((key, value)) = entry(field) else {
        return Vec::new();
    };
    let Some(value) = good_single(&value, &FieldRules::default(), 0, DEPTH) else {
        return Vec::new();
    };
    let of_len = |len: u64| {
        let keys = (0..len).filter_map(|index| good_single(&key, keys, index, DEPTH));
        Value::Map(keys.map(|key| (map_key(key), value.clone())).collect())
    };
    let mut maps: Vec<Value> = [min.saturating_sub(1), min, min + 1].into_iter().map(of_len).collect();
    for key in singles(&key, keys) {
        maps.push(Value::Map(HashMap::from([(map_key(key), value.clone())])));
    }
    maps
}

/// The variations of a single value: at the bounds and beyond.
fn singles(kind: &Kind, rules: &FieldRules) -> Vec<Value> {
    match (&rules.r#type, kind) {
        (Some(Type::String(rules)), _) => texts(rules)
            .into_iter()
            .map(|text| wrapped(kind, Value::String(text)))
            .collect(),
        (Some(Type::Enum(rules)), Kind::Enum(descriptor)) => {
            let mut numbers = enum_numbers(descriptor);
            numbers.extend(rules.r#in.iter().chain(&rules.not_in));
            numbers.into_iter().map(Value::EnumNumber).collect()
        }
        (Some(Type::Bool(_)), _) => [true, false].map(|value| wrapped(kind, Value::Bool(value))).to_vec(),
        (Some(Type::Bytes(rules)), _) => {
            let len = usize::try_from(rules.min_len()).unwrap();
            let bytes = |len| wrapped(kind, Value::Bytes(vec![b'a'; len].into()));
            vec![bytes(len.saturating_sub(1)), bytes(len), bytes(len + 1)]
        }
        (Some(Type::Any(_)) | None, _) => Vec::new(),
        (Some(rules), _) => {
            let bounds = Bounds::of(rules);
            let tried = bounds.around();
            tried
                .into_iter()
                .map(|number| wrapped(kind, bounds.value(kind, number)))
                .collect()
        }
    }
}

fn enum_numbers(descriptor: &EnumDescriptor) -> Vec<i32> {
    let numbers: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
    let last = *numbers.iter().max().unwrap();
    vec![0, last, last + 1, -1, 9999]
}

fn texts(rules: &StringRules) -> Vec<String> {
    let mut texts: Vec<String> = [
        "", "a", "ü", "a b", ":a", "a:b", "a\nb", "a\0b", "\u{7f}", "a\tb", "%", "%a%", "/", "/a", "/a/", "a?b", "a#",
        "A-1_", "a;b", "a.mmdb", "1.2.3.4", "http",
    ]
    .map(str::to_owned)
    .to_vec();
    let bounds = [
        rules.len,
        rules.min_len,
        rules.max_len,
        rules.len_bytes,
        rules.min_bytes,
        rules.max_bytes,
    ];
    for bound in bounds.into_iter().flatten().filter(|bound| *bound < LONGEST) {
        let bound = usize::try_from(bound).unwrap();
        texts.extend([bound.saturating_sub(1), bound, bound + 1].map(|len| "a".repeat(len)));
        texts.push("ü".repeat(bound));
    }
    texts.extend(rules.r#in.iter().chain(&rules.not_in).cloned());
    texts.extend(rules.r#const.clone());
    texts
}

/// The numbers in a rule, in an integral unit: nanoseconds for durations, quarters for floats.
struct Bounds {
    named: Vec<i128>,
    unit: i128,
    inside: i128,
}

// === impl Bounds ===

impl Bounds {
    fn of(rules: &Type) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "bounds are short numbers")]
        let quarters = |bound: f64| (bound * 4.0) as i128;
        macro_rules! bounds {
            ($rules:expr, $convert:expr, $unit:expr) => {{
                let convert = $convert;
                let (low, high) = ($rules.gt.or($rules.gte), $rules.lt.or($rules.lte));
                let named: Vec<i128> = [$rules.gt, $rules.gte, $rules.lt, $rules.lte, $rules.r#const]
                    .into_iter()
                    .flatten()
                    .chain($rules.r#in.iter().cloned())
                    .chain($rules.not_in.iter().cloned())
                    .map(convert)
                    .collect();
                let inside = match ($rules.r#const, low, high) {
                    (Some(constant), _, _) => convert(constant),
                    (None, Some(low), Some(high)) => (convert(low) + convert(high) + 1) / 2,
                    (None, Some(low), None) => convert(low) + $unit,
                    (None, None, Some(high)) => (convert(high) - $unit).max(0),
                    (None, None, None) => $rules.r#in.first().cloned().map_or(0, convert),
                };
                Self {
                    named,
                    unit: $unit,
                    inside,
                }
            }};
        }
        let span = |span: prost_types::Duration| i128::from(span.seconds) * 1_000_000_000 + i128::from(span.nanos);
        match rules {
            Type::Float(rules) => bounds!(rules, |bound: f32| quarters(f64::from(bound)), 4),
            Type::Double(rules) => bounds!(rules, quarters, 4),
            Type::Int32(rules) => bounds!(rules, i128::from, 1),
            Type::Int64(rules) => bounds!(rules, i128::from, 1),
            Type::Uint32(rules) => bounds!(rules, i128::from, 1),
            Type::Uint64(rules) => bounds!(rules, i128::from, 1),
            Type::Duration(rules) => bounds!(rules, span, 1),
            other => panic!("no field of Envoy's has the rule {other:?}"),
        }
    }

    /// A permitted number.
    const fn inside(&self) -> i128 {
        self.inside
    }

    fn around(&self) -> Vec<i128> {
        let mut around = vec![self.inside, 0];
        for bound in &self.named {
            around.extend([bound - self.unit, bound - 1, *bound, bound + 1, bound + self.unit]);
        }
        around
    }

    /// A number as a value of the field, or the nearest possible value.
    fn value(&self, kind: &Kind, number: i128) -> Value {
        let what = kind.as_message().map_or("", |message| message.full_name());
        let kind = match kind {
            Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => {
                let mut span = DynamicMessage::new(message.clone());
                let seconds = i64::try_from(number / 1_000_000_000).unwrap();
                span.set_field_by_number(1, Value::I64(seconds));
                span.set_field_by_number(2, Value::I32(i32::try_from(number % 1_000_000_000).unwrap()));
                return Value::Message(span);
            }
            Kind::Message(wrapper) => wrapper.get_field(1).unwrap().kind(),
            kind => kind.clone(),
        };
        #[allow(clippy::cast_precision_loss, reason = "bounds are short numbers")]
        let quarters = number as f64 / 4.0;
        match kind {
            #[allow(clippy::cast_possible_truncation, reason = "bounds are short numbers")]
            Kind::Float => Value::F32(quarters as f32),
            Kind::Double => Value::F64(quarters),
            Kind::Int32 => Value::I32(i32::try_from(number).unwrap_or(i32::MAX)),
            Kind::Int64 => Value::I64(i64::try_from(number).unwrap_or(i64::MAX)),
            Kind::Uint32 => Value::U32(u32::try_from(number.max(0)).unwrap_or(u32::MAX)),
            Kind::Uint64 => Value::U64(u64::try_from(number.max(0)).unwrap_or(u64::MAX)),
            _ => panic!("{what:?} is no number"),
        }
    }
}
