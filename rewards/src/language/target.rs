//! Reads a language tag: what scripts the language uses, and whether it shares them with listed languages.

use unicode_script::Script;

use super::function_words::LISTS;
use crate::excerpt::excerpt;

/// How the words of a language are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The tag as it was given.
    pub(super) tag: String,
    pub(super) writing: Writing,
}

/// What a language is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Chinese characters.
    Chinese,
    /// Kana, and Chinese characters among them.
    Japanese,
    /// One script, and the language's entry in [`LISTS`] where it has one.
    Script(Script, Option<usize>),
}

/// Languages by the script they are usually written in, by ISO 639 code. Latin ones are those that have a list.
const SCRIPTS: [(Script, &str); 26] = [
    (Script::Han, "zh yue wuu lzh cmn"),
    (Script::Katakana, "ja"),
    (Script::Hangul, "ko"),
    (Script::Cyrillic, "ru uk bg sr be mk kk ky mn tg tt"),
    (Script::Greek, "el"),
    (Script::Hebrew, "he yi"),
    (Script::Arabic, "ar fa ur ps ug sd ckb"),
    (Script::Devanagari, "hi mr ne sa"),
    (Script::Bengali, "bn as"),
    (Script::Gurmukhi, "pa"),
    (Script::Gujarati, "gu"),
    (Script::Oriya, "or"),
    (Script::Tamil, "ta"),
    (Script::Telugu, "te"),
    (Script::Kannada, "kn"),
    (Script::Malayalam, "ml"),
    (Script::Sinhala, "si"),
    (Script::Thai, "th"),
    (Script::Lao, "lo"),
    (Script::Tibetan, "bo dz"),
    (Script::Myanmar, "my"),
    (Script::Khmer, "km"),
    (Script::Georgian, "ka"),
    (Script::Armenian, "hy"),
    (Script::Ethiopic, "am ti"),
    (Script::Latin, "cs da de en es fi fr hu id it nb nl no pl pt ro sv tr vi"),
];

impl Target {
    /// The language of a BCP-47 tag. `Err` says why it cannot be judged.
    pub(super) fn read(tag: &str) -> Result<Self, String> {
        let shown = excerpt(tag, 40);
        let lower = tag.trim().to_ascii_lowercase().replace('_', "-");
        let mut parts = lower.split('-');
        let language = parts.next().unwrap_or_default();
        if !(2..=3).contains(&language.len()) || !language.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(format!(
                "{shown:?} is not a language tag: it begins with two or three letters, as \"en\" or \"zh-Hant\""
            ));
        }
        let own =
            SCRIPTS.iter().find(|(_, codes)| codes.split(' ').any(|code| code == language)).map(|(script, _)| *script);
        let given = parts.find(|part| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let writing = match given {
            Some(subtag) => given_script(subtag).ok_or_else(|| format!("{shown:?} names the script {subtag:?}, which is not known"))?,
            None => own.map(usual).ok_or_else(|| {
                format!("{shown:?} is not among the known languages: add its script, as in \"xx-Cyrl\", or take another reward")
            })?,
        };
        let writing = match writing {
            Writing::Script(script, _) => Writing::Script(script, list(language, script)),
            writing => writing,
        };
        if let Writing::Script(Script::Latin, None) = writing {
            return Err(format!(
                "{shown:?} is written in Latin letters, and there is no list of words to tell it from others by"
            ));
        }
        Ok(Self { tag: tag.trim().to_owned(), writing })
    }
}

/// What languages that are usually written in `script` are written in.
fn usual(script: Script) -> Writing {
    match script {
        Script::Han => Writing::Chinese,
        Script::Katakana => Writing::Japanese,
        script => Writing::Script(script, None),
    }
}

/// What a script subtag in lower case stands for.
fn given_script(subtag: &str) -> Option<Writing> {
    match subtag {
        "hans" | "hant" | "hani" => Some(Writing::Chinese),
        "jpan" | "hrkt" | "hira" | "kana" => Some(Writing::Japanese),
        "kore" => Some(Writing::Script(Script::Hangul, None)),
        _ => {
            let name = format!("{}{}", subtag[..1].to_ascii_uppercase(), &subtag[1..]);
            let script = Script::from_short_name(&name)?;
            let written = !matches!(script, Script::Common | Script::Inherited | Script::Unknown);
            written.then_some(Writing::Script(script, None))
        }
    }
}

/// The entry of `language` in [`LISTS`].
fn list(language: &str, script: Script) -> Option<usize> {
    let code = if language == "no" { "nb" } else { language };
    LISTS.iter().position(|list| list.code == code && list.script == script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        let check = |tag: &str, expected: Writing| assert_eq!(Target::read(tag).unwrap().writing, expected, "{tag}");
        let listed = |tag: &str, code: &str, script: Script| {
            let Writing::Script(found, Some(list)) = Target::read(tag).unwrap().writing else { panic!("{tag}") };
            assert_eq!((LISTS[list].code, found), (code, script), "{tag}");
        };
        check("zh", Writing::Chinese);
        check("zh-Hant-TW", Writing::Chinese);
        check("cmn_Hans", Writing::Chinese);
        check("ja", Writing::Japanese);
        check("ko-KR", Writing::Script(Script::Hangul, None));
        check("el", Writing::Script(Script::Greek, None));
        check("kk", Writing::Script(Script::Cyrillic, None));
        check("xx-Cyrl", Writing::Script(Script::Cyrillic, None));
        listed("en", "en", Script::Latin);
        listed(" EN-us ", "en", Script::Latin);
        listed("no", "nb", Script::Latin);
        listed("sr", "sr", Script::Cyrillic);
        listed("ru-Cyrl", "ru", Script::Cyrillic);
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        for tag in
            ["", "e", "English", "python", "12", "sw", "sr-Latn", "xx", "en-Zyyy", "en-Abcd", "日本語", "zz-Latn"]
        {
            assert!(Target::read(tag).is_err(), "{tag}");
        }
    }
}
