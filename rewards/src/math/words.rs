//! The names that mathematics and measuring use: functions, Greek letters, units, and words that end a value.

use super::expr::Function;

/// The function called `name`, in LaTeX or plain text.
pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" | "tg" => Function::Tan,
        "cot" | "ctg" => Function::Cot,
        "sec" => Function::Sec,
        "csc" | "cosec" => Function::Csc,
        "arcsin" | "asin" => Function::Asin,
        "arccos" | "acos" => Function::Acos,
        "arctan" | "atan" | "arctg" => Function::Atan,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "ln" => Function::Ln,
        "exp" => Function::Exp,
        "abs" => Function::Abs,
        "floor" => Function::Floor,
        "ceil" => Function::Ceiling,
        _ => return None,
    })
}

/// Whether `name` is a letter with a name of its own; `\varphi` and `\phi` are one.
pub(super) fn greek(name: &str) -> Option<&'static str> {
    const LETTERS: [&str; 33] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
        "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda",
        "Xi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell",
    ];
    let name = match name {
        "varphi" => "phi",
        "vartheta" => "theta",
        "varepsilon" => "epsilon",
        "varrho" => "rho",
        name => name,
    };
    LETTERS.into_iter().find(|&letter| letter == name)
}

/// Words that, behind a number, are not what is counted: they say that a sentence goes on, or that more than one answer is
/// meant.
pub(super) fn ends_a_value(word: &str) -> bool {
    const WORDS: [&str; 82] = [
        "or",
        "and",
        "not",
        "but",
        "nor",
        "either",
        "maybe",
        "perhaps",
        "possibly",
        "is",
        "are",
        "was",
        "be",
        "equals",
        "equal",
        "plus",
        "minus",
        "times",
        "divided",
        "over",
        "to",
        "through",
        "from",
        "than",
        "more",
        "less",
        "at",
        "the",
        "a",
        "if",
        "when",
        "while",
        "where",
        "because",
        "since",
        "so",
        "then",
        "that",
        "this",
        "which",
        "it",
        "as",
        "with",
        "for",
        "by",
        "in",
        "on",
        "wrong",
        "incorrect",
        "false",
        "instead",
        "also",
        "other",
        "answer",
        "correct",
        "right",
        "mod",
        "base",
        "modulo",
        "dozen",
        "half",
        "halves",
        "third",
        "thirds",
        "quarter",
        "quarters",
        "fourths",
        "fifths",
        "tenths",
        "hundredths",
        "thousandths",
        "factorial",
        "below",
        "above",
        "squares",
        "negative",
        "short",
        "shy",
        "off",
        "bc",
        "bce",
        "except",
    ];
    WORDS.contains(&word)
}

/// How often a number is meant when this word follows it, as a power of ten.
pub(super) fn scale(word: &str) -> Option<u32> {
    Some(match word {
        "hundred" => 2,
        "thousand" => 3,
        "million" => 6,
        "billion" => 9,
        "trillion" => 12,
        _ => return None,
    })
}

/// The one spelling of a unit for each of its names; `None` for a word that is not a known unit.
pub(super) fn unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "m" | "meter" | "meters" | "metre" | "metres" => "m",
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => "cm",
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => "mm",
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => "km",
        "nm" | "nanometer" | "nanometers" => "nm",
        "in" | "inch" | "inches" => "inch",
        "ft" | "foot" | "feet" => "ft",
        "yd" | "yard" | "yards" => "yd",
        "mi" | "mile" | "miles" => "mi",
        "g" | "gram" | "grams" => "g",
        "kg" | "kilogram" | "kilograms" => "kg",
        "mg" | "milligram" | "milligrams" => "mg",
        "lb" | "lbs" | "pound" | "pounds" => "lb",
        "oz" | "ounce" | "ounces" => "oz",
        "ton" | "tons" | "tonne" | "tonnes" => "ton",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "millisecond" | "milliseconds" => "ms",
        "min" | "mins" | "minute" | "minutes" => "min",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "day",
        "week" | "weeks" => "week",
        "month" | "months" => "month",
        "yr" | "yrs" | "year" | "years" => "year",
        "l" | "L" | "liter" | "liters" | "litre" | "litres" => "L",
        "ml" | "mL" | "milliliter" | "milliliters" | "millilitre" | "millilitres" => "mL",
        "gallon" | "gallons" | "gal" => "gallon",
        "cup" | "cups" => "cup",
        "N" | "newton" | "newtons" => "N",
        "J" | "joule" | "joules" => "J",
        "kJ" | "kilojoule" | "kilojoules" => "kJ",
        "W" | "watt" | "watts" => "W",
        "kW" | "kilowatt" | "kilowatts" => "kW",
        "V" | "volt" | "volts" => "V",
        "A" | "amp" | "amps" | "ampere" | "amperes" => "A",
        "Hz" | "hertz" => "Hz",
        "Pa" | "pascal" | "pascals" => "Pa",
        "kPa" => "kPa",
        "atm" => "atm",
        "fahrenheit" => "F",
        "K" | "kelvin" | "kelvins" => "K",
        "mol" | "mole" | "moles" => "mol",
        "eV" => "eV",
        "T" | "tesla" => "T",
        "C" | "coulomb" | "coulombs" | "celsius" => "C",
        "ohm" | "ohms" | "Omega" => "ohm",
        "degree" | "degrees" | "deg" | "°" => "degree",
        "rad" | "radian" | "radians" => "rad",
        "dollar" | "dollars" | "usd" | "USD" | "$" | "bucks" => "dollar",
        "cent" | "cents" | "¢" => "cent",
        "euro" | "euros" | "EUR" | "€" => "euro",
        "£" | "GBP" => "sterling",
        "¥" | "yen" | "JPY" => "yen",
        "₹" | "rupee" | "rupees" | "Rs" | "INR" => "rupee",
        "yuan" | "RMB" => "yuan",
        "unit" | "units" => "unit",
        "mph" => "mi/h",
        "kph" | "kmh" => "km/h",
        "percent" => "percent",
        _ => return None,
    })
}

/// Short words that are English rather than a product of symbols.
pub(super) fn is_short_word(word: &str) -> bool {
    const WORDS: [&str; 53] = [
        "yes", "no", "and", "or", "not", "the", "is", "are", "odd", "one", "two", "six", "ten", "all", "any", "for",
        "if", "in", "of", "on", "at", "by", "to", "so", "we", "it", "its", "as", "be", "but", "day", "red", "mon",
        "tue", "wed", "thu", "fri", "sat", "sun", "am", "pm", "per", "new", "old", "man", "boy", "men", "inf", "nan",
        "us", "he", "dne", "DNE",
    ];
    let lower = word.to_ascii_lowercase();
    WORDS.iter().any(|known| *known == lower || *known == word)
}
