//! The keys that a settings type reads, taken from the type itself: for hints in messages, and for the reference file.
//!
//! A `Deserialize` implementation tells its deserializer which fields it wants. The deserializer here notes them, feeds
//! every field a value that fits, and throws the result away.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// What a key takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Schema {
    /// A number, text or list.
    #[default]
    Value,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// A table with these keys.
    Table(Vec<(&'static str, Schema)>),
}

impl Schema {
    /// The keys that `T` reads.
    pub(crate) fn of<T: DeserializeOwned>() -> Self {
        let mut schema = Self::default();
        // A type may refuse the values it is fed; what it asked for is noted by then.
        let _ = T::deserialize(Trace(&mut schema));
        schema
    }

    /// What is inside of a table; nothing for a value.
    pub(crate) fn entries(&self) -> &[(&'static str, Schema)] {
        match self {
            Self::Table(entries) => entries,
            Self::Value | Self::Choice(_) => &[],
        }
    }

    /// Adds the dotted path and schema of every key that is no table to `into`.
    pub(crate) fn leaves(&self, path: &str, into: &mut Vec<(String, Schema)>) {
        for (key, schema) in self.entries() {
            let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            match schema {
                Self::Table(_) => schema.leaves(&path, into),
                Self::Value | Self::Choice(_) => into.push((path, schema.clone())),
            }
        }
    }
}

/// Notes in a [`Schema`] what is asked of it.
struct Trace<'a>(&'a mut Schema);

impl<'de> serde::Deserializer<'de> for Trace<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Schema::Table(fields.iter().map(|&field| (field, Schema::Value)).collect());
        let Schema::Table(entries) = self.0 else { unreachable!("set in the line above") };
        visitor.visit_map(Fields { entries: entries.iter_mut(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = Schema::Choice(variants);
        visitor.visit_enum(First(variants.first().copied().unwrap_or_default()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(len))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(0))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(1)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // `auto` is also what a device may be called, the one text here that not every word fits.
        visitor.visit_str("auto")
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct map
        identifier ignored_any
    }
}

struct Fields<'a> {
    entries: std::slice::IterMut<'a, (&'static str, Schema)>,
    value: Option<&'a mut Schema>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, schema)) = self.entries.next() else { return Ok(None) };
        self.value = Some(schema);
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let schema = self.value.take().ok_or_else(|| serde::de::Error::custom("a value before its key"))?;
        seed.deserialize(Trace(schema))
    }
}

struct Elements(usize);

impl<'de> SeqAccess<'de> for Elements {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.0 == 0 {
            return Ok(None);
        }
        self.0 -= 1;
        seed.deserialize(Trace(&mut Schema::default())).map(Some)
    }
}

/// The first of an enum's names.
struct First(&'static str);

impl<'de> EnumAccess<'de> for First {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Trace(&mut Schema::default()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("settings have no such enums"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], _visitor: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("settings have no such enums"))
    }
}
