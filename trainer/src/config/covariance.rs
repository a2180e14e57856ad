//! `[stage.grpo.covariance]`: a table whose `kind` decides which of its keys are read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::checks::Section;
use crate::grpo::Covariance;

/// Every key of every kind, so that whoever asks the type for its keys is told all of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beta: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    ClipCov,
    KlCov,
}

/// The defaults are those of arXiv 2505.22617 for its model of 7B.
impl From<Table> for Covariance {
    fn from(Table { kind, fraction, low, high, beta }: Table) -> Self {
        match kind {
            Kind::ClipCov => {
                Self::ClipCov { fraction: fraction.unwrap_or(2e-4), low: low.unwrap_or(1.0), high: high.unwrap_or(5.0) }
            }
            Kind::KlCov => Self::KlCov { fraction: fraction.unwrap_or(2e-3), beta: beta.unwrap_or(1.0) },
        }
    }
}

impl From<Covariance> for Table {
    fn from(covariance: Covariance) -> Self {
        let (kind, fraction, [low, high, beta]) = match covariance {
            Covariance::ClipCov { fraction, low, high } => (Kind::ClipCov, fraction, [Some(low), Some(high), None]),
            Covariance::KlCov { fraction, beta } => (Kind::KlCov, fraction, [None, None, Some(beta)]),
        };
        Self { kind, fraction: Some(fraction), low, high, beta }
    }
}

/// For serde: the table, if it is there.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Covariance>, D::Error> {
    Ok(Option::<Table>::deserialize(deserializer)?.map(Covariance::from))
}

/// For serde: the table with the keys of its kind.
pub(super) fn serialize<S: Serializer>(covariance: &Option<Covariance>, serializer: S) -> Result<S::Ok, S::Error> {
    covariance.map(Table::from).serialize(serializer)
}

/// Notes values out of range, and keys of the other kind. `at` is the table itself.
pub(super) fn check(covariance: &Covariance, at: &mut Section<'_, '_>) {
    let fraction = covariance.fraction();
    let fine = fraction > 0.0 && fraction <= 1.0;
    at.holds("fraction", fraction, fine, "expected more than 0, and 1 at most", "a fraction of all tokens");
    let (own, other, foreign): (_, _, &[&str]) = match *covariance {
        Covariance::ClipCov { low, high, .. } => {
            let expected = format!("expected more than `low`, {low}");
            at.holds("high", high, high > low, &expected, "covariances between the two are cut");
            ("clip_cov", "kl_cov", &["beta"])
        }
        Covariance::KlCov { beta, .. } => {
            at.positive("beta", beta, "the price of a nat");
            ("kl_cov", "clip_cov", &["low", "high"])
        }
    };
    for key in foreign.iter().filter(|key| at.has(key)).copied().collect::<Vec<_>>() {
        let title = format!("`{key}` is given, but `kind` is \"{own}\"");
        let help = format!("set `kind` to \"{other}\", or take `{key}` out");
        at.fail(key, title, format!("read by \"{other}\" only"), &help);
    }
}
