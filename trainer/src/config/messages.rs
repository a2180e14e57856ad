//! Puts the messages of the TOML parser and of serde into the words of a run file.

use std::ops::Range;

use super::error::Finding;
use super::schema::Schema;

/// What the run file says about an error of reading `schema`.
///
/// `at` is the path of what stands at `span`; `home` names the table that `schema` describes, such as `stage`.
pub(crate) fn explain(
    error: &toml::de::Error,
    span: Range<usize>,
    at: Option<&str>,
    home: &str,
    schema: &Schema,
) -> Finding {
    let (title, label, help) = match named(error.message()) {
        ("unknown field", Some((key, expected))) => unknown_key(key, &expected, home, schema),
        ("missing field", Some((key, _))) => missing_key(key, at, home, schema),
        _ => explain_message(error.message(), at),
    };
    Finding { title, span: Some(span), label, help: vec![help] }
}

/// The kind of a message of serde's, and what it quotes: what was found, and what was expected.
fn named(message: &str) -> (&str, Option<(&str, Vec<&str>)>) {
    let words = quoted(message);
    let kind = message.split_once(" `").map_or(message, |(head, _)| head);
    (kind, words.split_first().map(|(found, expected)| (*found, expected.to_vec())))
}

/// What the run file says about a value that does not fit, or a key that is missing, at the path `at`.
pub(crate) fn explain_message(message: &str, at: Option<&str>) -> (String, String, String) {
    match named(message) {
        ("unknown variant", Some((value, expected))) => {
            (format!("unknown value `{value}`"), list(&expected), did_you_mean(value, &expected))
        }
        ("unknown device", Some((value, expected))) => {
            (format!("unknown device `{value}`"), list(&expected), did_you_mean(value, &expected))
        }
        ("unknown field", Some((key, expected))) => {
            (format!("unknown key `{key}`"), list(&expected), did_you_mean(key, &expected))
        }
        ("missing field", Some((key, _))) => {
            (format!("missing key `{key}`"), format!("this table needs a `{key}`"), String::new())
        }
        _ => explain_value(message, at),
    }
}

/// A key that no table has, or not this one.
pub(crate) fn unknown_key(key: &str, expected: &[&str], home: &str, schema: &Schema) -> (String, String, String) {
    let mut leaves = Vec::new();
    schema.leaves(home, &mut leaves);
    let home_of = |key: &str| leaves.iter().find_map(|(path, _)| path.strip_suffix(key)?.strip_suffix('.'));
    let own_name = OTHER_NAMES.iter().find(|(other, _)| *other == key).map(|&(_, own)| own);
    let help = match (home_of(key), own_name.and_then(|own| home_of(own).map(|table| (own, table)))) {
        // Another trainer's name for a key of this very table, even if some other table has a key of that name.
        (_, Some((own, table))) if expected.contains(&own) => format!("it is called `{own}` here, in [{table}]"),
        (Some(table), _) => format!("`{key}` is a key of [{table}]"),
        (None, Some((own, table))) => format!("it is called `{own}` here, in [{table}]"),
        (None, None) => did_you_mean(key, expected),
    };
    (format!("unknown key `{key}`"), list(expected), help)
}

fn missing_key(key: &str, at: Option<&str>, home: &str, schema: &Schema) -> (String, String, String) {
    let is_inside = at.is_some_and(|path| path.contains('.'));
    match schema.entries().iter().find(|(name, _)| *name == key && !is_inside) {
        Some((_, Schema::Table(_))) => {
            let help = format!("add [{home}.{key}]; configs/reference.toml has it with every key");
            (format!("missing table `{key}`"), "expected inside of this one".to_owned(), help)
        }
        _ => (format!("missing key `{key}`"), format!("this table needs a `{key}`"), String::new()),
    }
}

/// A value of the wrong type, or none at all.
fn explain_value(message: &str, at: Option<&str>) -> (String, String, String) {
    let key = at.and_then(|path| path.rsplit('.').next()).map(|key| key.split('[').next().unwrap_or(key));
    let subject = key.map_or("this".to_owned(), |key| format!("`{key}`"));
    let mismatch = |prefix: &str| message.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, expected)) = mismatch("invalid type: ").or_else(|| mismatch("invalid value: ")) {
        return (format!("{subject} is {}", kind(found)), format!("expected {}", expectation(expected)), String::new());
    }
    if let Some((found, expected)) = mismatch("invalid length ") {
        let title = format!("{subject} is a list of length {found}");
        return (title, format!("expected {}", expectation(expected)), String::new());
    }
    if message == "wanted string or table" {
        return (format!("{subject} is not a name"), "expected a name in quotes".to_owned(), String::new());
    }
    let (title, label, help) = match message {
        "duplicate key" => ("written twice", "the second time", "a key or table may be written once"),
        "string values must be quoted, expected literal string" => {
            ("not a value", "expected a value", "a value is a number, true, false, a \"text\" or a [list]")
        }
        _ => (message, "", ""),
    };
    (format!("invalid TOML: {title}"), label.to_owned(), help.to_owned())
}

/// serde's name of what was found, in TOML's words.
fn kind(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    match kind {
        "string" => format!("the text {value}"),
        "integer" => format!("the number {}", value.trim_end_matches(" as i128").trim_matches('`')),
        "floating" => format!("the number {}", value.trim_start_matches("point ").trim_matches('`')),
        "boolean" => value.trim_matches('`').to_owned(),
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    }
}

/// serde's name of what was expected, in TOML's words.
fn expectation(expected: &str) -> String {
    let words = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "path string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "an array of length 2" => "a list of two values",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    };
    words.to_owned()
}

/// The words that a message puts into backquotes.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// "expected `a`, `b` or `c`"
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => format!("expected {last}"),
        Some((last, before)) => format!("expected {} or {last}", before.join(", ")),
    }
}

/// What other trainers call some keys.
const OTHER_NAMES: [(&str, &str); 22] = [
    ("beta", "kl_beta"),
    ("delta", "clip_delta"),
    ("entropy_coef", "entropy_coefficient"),
    ("epsilon", "clip_epsilon"),
    ("epsilon_high", "clip_epsilon_high"),
    ("importance_sampling_level", "ratio"),
    ("loss_type", "aggregation"),
    ("lr", "learning_rate"),
    ("lr_scheduler_type", "schedule"),
    ("max_completion_length", "max_tokens"),
    ("max_length", "max_tokens"),
    ("mask_truncated_completions", "mask_truncated"),
    ("max_steps", "steps"),
    ("num_generations", "group_size"),
    ("num_iterations", "updates_per_batch"),
    ("off_policy_mask_threshold", "off_policy_threshold"),
    ("ref_model_mixup_alpha", "reference_mix"),
    ("ref_model_sync_steps", "reference_refresh_steps"),
    ("save_steps", "every_steps"),
    ("scale_rewards", "advantage_scale"),
    ("top_entropy_quantile", "top_entropy_fraction"),
    ("use_bias_correction_kl", "kl_times_ratio"),
];

/// The nearest of `names`, as a question; empty if none is near.
pub(crate) fn did_you_mean(name: &str, names: &[&str]) -> String {
    let is_slip = |other: &str| strsim::osa_distance(name, other) <= (name.len() / 3).max(1);
    let likeness = |other: &str| strsim::jaro_winkler(name, other) + f64::from(u8::from(is_slip(other)));
    let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) if likeness(nearest) > 0.8 => format!("did you mean `{nearest}`?"),
        _ => String::new(),
    }
}
