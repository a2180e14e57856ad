//! The doctor: looks at the steps of a stage as they come, and says once and plainly what ails it.
//!
//! Nothing here reads, writes or knows a clock. [`Observation`] is what the doctor sees of a step, [`History`] all of them;
//! each file of `symptoms` holds the rules of one kind, pure functions of a history. [`Doctor`] remembers what was said.
//! docs/doctor.md has every diagnosis with its threshold and the reason for it.

mod diagnosis;
mod history;
mod observation;
mod symptoms;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use diagnosis::{Diagnosis, DoctorRow, Kind, Symptom};
pub use history::History;
pub use observation::{Observation, Side};

/// What the doctor knows of a stage beside its steps. Where a setting changes by step, it is that of the step looked at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `doctor.dead_steps`
    pub dead_steps: usize,
    /// `rollout.max_tokens`
    pub max_tokens: u64,
    /// Whether the clip is one of the ratios of tokens, and not of whole completions.
    pub clips_tokens: bool,
    /// Whether the advantages of a group cancel in the loss: one update a step, whose ratio is 1, and completions of one weight.
    pub loss_cancels: bool,
    /// `optimizer.learning_rate`
    pub learning_rate: f64,
    /// The rewards that say what is right, with their weights.
    pub correctness: Vec<(String, f64)>,
}

/// Steps for which a symptom has to be away before it is said again when it comes back.
const AWAY_STEPS: u64 = 50;

/// One stage's doctor.
#[derive(Debug)]
pub struct Doctor {
    facts: Facts,
    history: History,
    /// What was said, with the last step at which it held.
    said: BTreeMap<Symptom, u64>,
}

impl Doctor {
    /// A doctor who has seen nothing yet.
    pub fn new(facts: Facts) -> Self {
        Self { facts, history: History::default(), said: BTreeMap::new() }
    }

    /// Takes up a stage that goes on: the steps that it had, and what was said of them.
    #[must_use]
    pub fn resumed(mut self, earlier: Vec<Observation>, said: &[DoctorRow]) -> Self {
        for observation in earlier {
            let step = observation.step;
            self.history.push(observation);
            let holding = self.holding();
            for row in said.iter().filter(|row| row.step == step) {
                self.said.insert(row.diagnosis.symptom, step);
            }
            self.note_holding(step, &holding);
        }
        // What a history without its texts does not show.
        for row in said {
            self.said.entry(row.diagnosis.symptom).or_insert(row.step);
        }
        self
    }

    /// Looks at a stage whose settings are others from the next step on.
    pub fn know(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Looks at the next step, and gives back what has to be said now.
    pub fn examine(&mut self, observation: Observation) -> Vec<Diagnosis> {
        let step = observation.step;
        self.history.push(observation);
        let holding = self.holding();
        let is_new = |symptom: Symptom| match self.said.get(&symptom) {
            None => true,
            Some(_) if symptom.kind() == Kind::Note => false,
            Some(last) => step - last > AWAY_STEPS,
        };
        let is_explained = |symptom: Symptom| {
            let mut others = self.said.keys().copied().chain(holding.iter().map(|held| held.symptom));
            others.any(|other| other.explains(symptom))
        };
        let news: Vec<Diagnosis> =
            (holding.iter()).filter(|held| is_new(held.symptom) && !is_explained(held.symptom)).cloned().collect();
        for diagnosis in &news {
            self.said.insert(diagnosis.symptom, step);
        }
        self.note_holding(step, &holding);
        news
    }

    /// Whether nothing can be learned any more, said or not: for `dead_steps` steps every group was equal, or every
    /// completion was cut off and none was right.
    pub fn is_dead(&self) -> bool {
        symptoms::is_dead(&self.history, &self.facts)
    }

    fn holding(&self) -> Vec<Diagnosis> {
        symptoms::all(&self.history, &self.facts)
    }

    fn note_holding(&mut self, step: u64, holding: &[Diagnosis]) {
        for held in holding {
            self.said.entry(held.symptom).and_modify(|last| *last = step);
        }
    }
}
