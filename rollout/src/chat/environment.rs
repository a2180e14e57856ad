//! Jinja2 as transformers sets it up for chat templates, in minijinja.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use regex::Regex;

use super::python;

/// Instructions of one rendering. A template comes with a model from anywhere: it is not to hang a run. A conversation of a
/// thousand messages takes less than a hundredth of this.
const FUEL: u64 = 10_000_000;

/// Macros within macros.
const DEPTH: usize = 100;

/// The name of the one template of an environment, which messages name.
pub(super) const NAME: &str = "chat template";

/// Variables that stand at the beginning and the end of what `{% generation %}` encloses.
pub(super) const BEGINS: &str = "_generation_begins";
pub(super) const ENDS: &str = "_generation_ends";

/// An environment with one template, [`NAME`].
///
/// # Errors
/// If `source` is no template.
pub(super) fn new(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, _, value| Ok(out.write_str(&python::str(value))?));
    environment.add_filter("tojson", |value: Value, arguments: Kwargs| python::to_json(&value, &arguments));
    environment.add_filter("string", |value: Value| python::str(&value));
    // In Python None is not iterable.
    environment.add_test("iterable", |value: Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    // `DATE` is left out: a prompt that changes with the day would change what a run computes. Templates ask
    // whether it is defined, and bring a date of their own.
    environment.add_template_owned(NAME, prepared(source))?;
    Ok(environment)
}

/// A function of transformers that says what day it is.
const DATE: &str = "strftime_now";

/// Whether the template may want to know what day it is.
pub(super) fn asks_for_the_date(source: &str) -> bool {
    source.contains(DATE)
}

/// Whether the template says by `{% generation %}` what the assistant writes.
pub(super) fn marks_generation(source: &str) -> bool {
    GENERATION.is_match(source)
}

static GENERATION: LazyLock<Regex> = LazyLock::new(|| tag("generation"));
static END_GENERATION: LazyLock<Regex> = LazyLock::new(|| tag("endgeneration"));

fn tag(name: &str) -> Regex {
    Regex::new(&format!(r"\{{%([-+]?)\s*{name}\s*([-+]?)%\}}")).expect("a valid pattern")
}

/// The source as minijinja reads it: lines end as Jinja2 has them, and transformers' own tag, `generation`, becomes two
/// conditions that hold, with a variable between them. The outer ones keep what the tag says about white space.
fn prepared(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source: Cow<str> =
        GENERATION.replace_all(&source, format!("{{%$1 if true -%}}{{{{ {BEGINS} }}}}{{%- if true $2%}}"));
    END_GENERATION.replace_all(&source, format!("{{%$1 endif -%}}{{{{ {ENDS} }}}}{{%- endif $2%}}")).into_owned()
}
