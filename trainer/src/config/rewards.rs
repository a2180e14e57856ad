//! `[stage.rewards]`: how completions are judged. Each table is one reward, under a name of the user's choice.

use std::fmt;

use llm_judge::LlmJudgeOptions;
use rewards::{
    AccuracyOptions, ChoiceOptions, CodeFormatOptions, CosineOptions, ExactOptions, KimiLengthOptions,
    LanguageConsistencyOptions, LengthLimitsOptions, MultiplyOptions, RegexMatchOptions, RepetitionOptions,
    SoftOverlongOptions,
};
use sandbox::{CodeOptions, ProcessOptions};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::by_step;
use super::checks::Section;
use super::mirror::Mirror;
use super::reward_checks;
use super::reward_model::RewardModelOptions;
use super::reward_places::place_paths;
use super::schema::Schema;
use super::source::{Artifact, InputMut};
use crate::judges::faults;

/// `[stage.rewards]`: the reward is the weighted sum of its tables. In the order in which they are judged: those that are
/// computed from others come behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewards(pub Vec<Reward>);

/// `[stage.rewards.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Reward {
    /// The name of the table, which is that of the reward in logs and expressions.
    pub name: String,
    /// Factor in the sum. Default 1. At 0 the reward is only recorded.
    pub weight: f64,
    /// `[step, weight]`: from this step on the weight is another. Default none.
    pub weight_from_step: Vec<(u64, f64)>,
    /// Only problems of these domains (the field `domain` of a row) are judged. Default none, which means all.
    pub domains: Vec<String>,
    /// What judges, and its settings.
    pub judge: Judge,
}

impl Reward {
    /// Factor in the sum of a step, counted from 1.
    pub fn weight_at(&self, step: u64) -> f64 {
        by_step::value_at(self.weight, &self.weight_from_step, step)
    }
}

/// Keys of every reward.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Common {
    weight: f64,
    weight_from_step: Vec<(u64, f64)>,
    domains: Vec<String>,
}

impl Default for Common {
    fn default() -> Self {
        Self { weight: 1.0, weight_from_step: Vec::new(), domains: Vec::new() }
    }
}

/// A reward without settings of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoOptions {}

/// 1 for a right equation, `partial` for a wrong one, 0 for none (TinyZero's tiers).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownOptions {
    /// Score of an answer that is wrong, in [0, 1). Default 0.1 (TinyZero).
    pub partial: f32,
}

impl Default for CountdownOptions {
    fn default() -> Self {
        Self { partial: 0.1 }
    }
}

/// A reward computed from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpressionOptions {
    /// Over the names of other rewards and facts such as `tokens`. Required.
    pub expression: String,
}

/// Declares the kinds of rewards: one list for names, types, reading and writing.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $name:literal $options:ty, $of:literal;)*) => {
        /// What a reward judges by, with its settings.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Judge {
            $($(#[$doc])* $variant {
                /// Its settings.
                options: $options,
                /// The reward that says what is right, for those that shape another; else empty.
                of: String,
            },)*
        }

        impl Judge {
            /// The names of all kinds.
            pub const KINDS: &'static [&'static str] = &[$($name),*];

            /// The name of the kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name,)* }
            }

            /// The reward that it shapes; empty for most.
            pub fn of(&self) -> &str {
                match self { $(Self::$variant { of, .. } => of,)* }
            }

            fn read(kind: &str, options: Table, of: String) -> Result<Self, toml::de::Error> {
                let options = Value::Table(options);
                Ok(match kind {
                    $($name => Self::$variant { options: options.try_into()?, of },)*
                    other => unreachable!("{other} is no kind"),
                })
            }

            fn options(&self) -> Result<Table, toml::ser::Error> {
                match self { $(Self::$variant { options, .. } => Table::try_from(options),)* }
            }
        }

        /// Whether rewards of a kind shape another.
        fn shapes(kind: &str) -> bool {
            match kind { $($name => $of,)* _ => false }
        }

        fn schema_of(kind: &str) -> Schema {
            match kind { $($name => keys::<$options>($of),)* _ => keys::<NoOptions>(false) }
        }
    };
}

kinds! {
    /// `accuracy`: mathematical answers, by value.
    Accuracy "accuracy" AccuracyOptions, false;
    /// `choice`: the letter of a multiple choice.
    Choice "choice" ChoiceOptions, false;
    /// `code`: programs, run against tests in a sandbox.
    Code "code" CodeOptions, false;
    /// `code_format`: open-r1's format of a program.
    CodeFormat "code_format" CodeFormatOptions, false;
    /// `cosine`: correctness scaled by length.
    Cosine "cosine" CosineOptions, true;
    /// `countdown`: TinyZero's equations.
    Countdown "countdown" CountdownOptions, false;
    /// `exact`: the gold text itself.
    Exact "exact" ExactOptions, false;
    /// `expression`: computed from other rewards.
    Expression "expression" ExpressionOptions, false;
    /// `format`: R1's strict format.
    Format "format" NoOptions, false;
    /// `instruction_quality`: how good a response to a generated instruction is.
    InstructionQuality "instruction_quality" NoOptions, false;
    /// `kimi_length`: the shorter of the right ones.
    KimiLength "kimi_length" KimiLengthOptions, true;
    /// `language_consistency`: thoughts in the language asked for.
    LanguageConsistency "language_consistency" LanguageConsistencyOptions, false;
    /// `length_limits`: not too short, not too long.
    LengthLimits "length_limits" LengthLimitsOptions, false;
    /// `llm_judge`: what a language model says of the answer.
    LlmJudge "llm_judge" LlmJudgeOptions, false;
    /// `multiply`: TinyZero's products.
    Multiply "multiply" MultiplyOptions, false;
    /// `open_r1_format`: open-r1's format.
    OpenR1Format "open_r1_format" NoOptions, false;
    /// `process`: a command of the user's.
    Process "process" ProcessOptions, false;
    /// `reasoning_steps`: open-r1's counting of steps.
    ReasoningSteps "reasoning_steps" NoOptions, false;
    /// `regex`: a pattern of the user's.
    Regex "regex" RegexMatchOptions, false;
    /// `repetition`: a penalty for repeated n-grams.
    Repetition "repetition" RepetitionOptions, false;
    /// `reward_model`: the score of a model.
    RewardModel "reward_model" RewardModelOptions, false;
    /// `soft_overlong`: DAPO's penalty near the limit.
    SoftOverlong "soft_overlong" SoftOverlongOptions, false;
    /// `step_sums`: each sum in the thoughts a step.
    StepSums "step_sums" NoOptions, false;
    /// `tag_count`: open-r1's counting of tags.
    TagCount "tag_count" NoOptions, false;
    /// `think_format`: TRL's format.
    ThinkFormat "think_format" NoOptions, false;
}

/// The keys of a reward with options `T`, without `kind`.
fn keys<T: DeserializeOwned>(shapes: bool) -> Schema {
    let mut entries = Schema::of::<Common>().entries().to_vec();
    if shapes {
        entries.push(("of", Schema::Value));
    }
    entries.extend(Schema::of::<T>().entries().to_vec());
    Schema::Table(entries)
}

/// The tables of `[stage.rewards]` as written. What is in them is looked at when the whole run file is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenRewards(Vec<(String, Table)>);

impl<'de> Deserialize<'de> for WrittenRewards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = WrittenRewards;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of rewards")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenRewards, A::Error> {
                let mut tables = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    // For a name of the user's own, `kind` decides later; here it may have every key.
                    let schema = schema_of(&name);
                    match map.next_value_seed(Mirror(&schema))? {
                        Value::Table(table) => tables.push((name, table)),
                        _ => return Err(serde::de::Error::custom(format!("reward `{name}` is not a table"))),
                    }
                }
                Ok(WrittenRewards(tables))
            }
        }

        deserializer.deserialize_struct("rewards", Judge::KINDS, Tables)
    }
}

impl WrittenRewards {
    /// Whether no table is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rewards, checked, in the order in which they are judged. Faults are noted.
    pub(crate) fn resolve(self, at: &mut Section<'_, '_>) -> Rewards {
        let mut rewards = Vec::new();
        let n_written = self.0.len();
        for (name, table) in self.0 {
            rewards.extend(resolve_one(name.clone(), table, &mut at.table(&name)));
        }
        if n_written == 0 {
            let help = "add a table such as [stage.rewards.accuracy] or [stage.rewards.format]; configs/reference.toml \
                        has every kind";
            at.fail("", "the stage has no rewards", "expected a table of rewards", help);
        } else if rewards.len() == n_written {
            if !rewards.iter().any(Reward::can_count) {
                at.fail("", "every reward has weight 0", "nothing can be learned", "give one a weight");
            }
            let rewards = Rewards(in_order(rewards, at));
            for (name, key, message) in faults(&rewards) {
                at.table(&name).fail(key, message, "cannot be used", "");
            }
            return rewards;
        }
        Rewards(rewards)
    }
}

/// One reward, or none if something is wrong with it, which is noted.
fn resolve_one(name: String, mut table: Table, at: &mut Section<'_, '_>) -> Option<Reward> {
    let kind = match table.remove("kind") {
        None => name.clone(),
        Some(Value::String(kind)) => kind,
        Some(_) => {
            at.fail("kind", "`kind` is not a name", "expected a kind of reward in quotes", "");
            return None;
        }
    };
    if !Judge::KINDS.contains(&kind.as_str()) {
        let key = if at.has("kind") { "kind" } else { "" };
        let help = "a reward under a name of your own says its `kind`";
        at.unknown(key, &format!("unknown kind of reward `{kind}`"), &kind, Judge::KINDS, help);
        return None;
    }
    if let Some((_, what)) = rewards::FEATURES.iter().find(|(feature, _)| *feature == name) {
        let title = format!("a reward cannot be called `{name}`");
        at.fail("", title, "in this table", &format!("in expressions that is the {what}"));
        return None;
    }
    let schema = schema_of(&kind);
    let known: Vec<&str> = schema.entries().iter().map(|(key, _)| *key).collect();
    let unknown: Vec<String> = table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
    for key in &unknown {
        at.unknown(key, &format!("unknown key `{key}`"), key, &known, "");
    }
    if !unknown.is_empty() {
        return None;
    }
    let is_common = |key: &str| key.starts_with("weight") || key == "domains";
    let common: Table = table.iter().filter(|(key, _)| is_common(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    table.retain(|key, _| !is_common(key));
    let common: Common = typed(&common, at)?;
    let of = match table.remove("of") {
        Some(Value::String(of)) => of,
        Some(_) => {
            at.fail("of", "`of` is not a name", "expected the name of a reward in quotes", "");
            return None;
        }
        None if shapes(&kind) => {
            let help = "name the reward that says what is right: of = \"accuracy\"";
            at.fail("", format!("reward `{name}` has no `of`"), "expected in this table", help);
            return None;
        }
        None => String::new(),
    };
    place_paths(&kind, &mut table, at);
    let mut judge = readable(&kind, &table, &of, at)?;
    if let Judge::RewardModel { options, .. } = &mut judge {
        options.resolve(at);
    }
    reward_checks::weights(common.weight, &common.weight_from_step, at);
    reward_checks::domains(&common.domains, &judge, at);
    let Common { weight, weight_from_step, domains } = common;
    Some(Reward { name, weight, weight_from_step, domains, judge })
}

/// The settings of a kind; a key that does not fit is noted.
fn readable(kind: &str, table: &Table, of: &str, at: &mut Section<'_, '_>) -> Option<Judge> {
    let error = match Judge::read(kind, table.clone(), of.to_owned()) {
        Ok(judge) => return Some(judge),
        Err(error) => error,
    };
    // The key without which the rest is read, or is faulty in another way, is the one at fault.
    let message = error.message().to_owned();
    let without = |key: &String| {
        let mut rest = table.clone();
        rest.remove(key);
        Judge::read(kind, rest, of.to_owned()).err().is_none_or(|other| other.message() != message)
    };
    let culprit = table.keys().find(|key| without(key)).cloned().unwrap_or_default();
    at.wrong(&culprit, &message);
    None
}

fn typed<T: DeserializeOwned>(table: &Table, at: &mut Section<'_, '_>) -> Option<T> {
    let fits = |key: &String| {
        let one = table.iter().filter(|(other, _)| *other == key).map(|(k, v)| (k.clone(), v.clone())).collect();
        Value::Table(one).try_into::<T>().is_ok()
    };
    match Value::Table(table.clone()).try_into() {
        Ok(value) => Some(value),
        Err(error) => {
            let culprit = table.keys().find(|key| !fits(key)).cloned().unwrap_or_default();
            at.wrong(&culprit, error.message());
            None
        }
    }
}

/// Behind everything that each is computed from; otherwise by name.
fn in_order(mut waiting: Vec<Reward>, at: &mut Section<'_, '_>) -> Vec<Reward> {
    waiting.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = waiting.iter().map(|reward| reward.name.clone()).collect();
    let mut ordered: Vec<Reward> = Vec::new();
    while !waiting.is_empty() {
        let is_there = |name: &str| ordered.iter().any(|reward| reward.name == name);
        let ready = |reward: &Reward| reward.needs(&names).iter().all(|name| is_there(name));
        match waiting.iter().position(ready) {
            Some(idx) => ordered.push(waiting.remove(idx)),
            None => {
                let title = format!("reward `{}` is computed from itself, or from nothing there is", waiting[0].name);
                let label = format!("needs {}", waiting[0].needs(&names).join(", "));
                at.table(&waiting[0].name.clone()).fail("", title, label, "");
                return ordered;
            }
        }
    }
    ordered
}

impl Reward {
    /// Whether it has a weight at any step.
    pub(crate) fn can_count(&self) -> bool {
        by_step::values(self.weight, &self.weight_from_step).any(|weight| weight != 0.0)
    }
}

impl Rewards {
    /// Shows the models that may be made by stages.
    pub(crate) fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        for reward in &mut self.0 {
            if let Judge::RewardModel { options, .. } = &mut reward.judge {
                visit(InputMut::Artifact(&mut options.model));
            }
        }
    }

    /// The rewards that a model gives, by name, and the model.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        self.0.iter().filter_map(|reward| match &reward.judge {
            Judge::RewardModel { options, .. } => Some((reward.name.as_str(), &options.model)),
            _ => None,
        })
    }

    /// The weighted sum, for the plan.
    pub fn in_words(&self) -> String {
        let changes = |(step, weight): &(u64, f64)| format!(", {weight} from step {step}");
        let term = |reward: &Reward| {
            let changes: String = reward.weight_from_step.iter().map(changes).collect();
            let kind = reward.judge.kind();
            let kind = if kind == reward.name { String::new() } else { format!(" ({kind})") };
            let domains =
                if reward.domains.is_empty() { String::new() } else { format!(" of {}", reward.domains.join("/")) };
            format!("{} x {}{kind}{domains}{changes}", reward.weight, reward.name)
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(" + ")
    }
}

impl Reward {
    /// The rewards that this one is computed from.
    fn needs(&self, names: &[String]) -> Vec<String> {
        if let Judge::Expression { options, .. } = &self.judge {
            let is_name = |name: &&String| options.mentions(name);
            return names.iter().filter(is_name).cloned().collect();
        }
        match self.judge.of() {
            "" => Vec::new(),
            of => vec![of.to_owned()],
        }
    }
}

impl ExpressionOptions {
    /// Whether a name stands in the expression as a word of its own.
    pub fn mentions(&self, name: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        self.expression.split(|c| !is_word(c)).any(|word| word == name)
    }
}

impl Serialize for Rewards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let mut tables = Table::new();
        for reward in &self.0 {
            let mut table = Table::new();
            if reward.name != reward.judge.kind() {
                table.insert("kind".to_owned(), reward.judge.kind().into());
            }
            let Reward { weight, weight_from_step, domains, .. } = reward.clone();
            let common = Common { weight, weight_from_step, domains };
            table.extend(Table::try_from(common).map_err(S::Error::custom)?);
            if !reward.judge.of().is_empty() {
                table.insert("of".to_owned(), reward.judge.of().into());
            }
            let options = reward.judge.options().map_err(S::Error::custom)?;
            table.extend(options.into_iter().map(|(key, value)| (key, shortest(value))));
            tables.insert(reward.name.clone(), Value::Table(table));
        }
        tables.serialize(serializer)
    }
}

/// Numbers that were float32 in as many digits as those need.
fn shortest(value: Value) -> Value {
    match value {
        Value::Float(number) if f64::from(number as f32) == number => {
            Value::Float((number as f32).to_string().parse().unwrap_or(number))
        }
        Value::Table(table) => Value::Table(table.into_iter().map(|(key, value)| (key, shortest(value))).collect()),
        other => other,
    }
}
