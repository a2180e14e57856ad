//! Reads a value of unknown type as a [`Schema`] says: each table as a struct and each choice as an enum.
//!
//! So a type whose tables are told apart by a key inside of them still shows its keys to whoever asks the type for them.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, VariantAccess, Visitor};
use toml::{Table, Value};

use super::schema::Schema;

/// A seed that reads what the schema describes, and whatever else stands beside it.
pub(crate) struct Mirror<'a>(pub(crate) &'a Schema);

impl<'de> DeserializeSeed<'de> for Mirror<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Schema::Value => serde::Deserialize::deserialize(deserializer),
            Schema::Choice(names) => deserializer.deserialize_enum("choice", names, Name),
            Schema::Table(entries) => {
                let names: Vec<&'static str> = entries.iter().map(|(name, _)| *name).collect();
                // The tables of a run file are few, and their keys are wanted for as long as the program runs.
                deserializer.deserialize_struct("table", names.leak(), Entries(entries))
            }
        }
    }
}

struct Entries<'a>(&'a [(&'static str, Schema)]);

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Table::new();
        while let Some(key) = map.next_key::<String>()? {
            let schema = self.0.iter().find(|(name, _)| *name == key).map_or(&Schema::Value, |(_, schema)| schema);
            table.insert(key, map.next_value_seed(Mirror(schema))?);
        }
        Ok(Value::Table(table))
    }
}

struct Name;

impl<'de> Visitor<'de> for Name {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name in quotes")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let (name, variant) = access.variant::<String>()?;
        variant.unit_variant()?;
        Ok(Value::String(name))
    }
}
