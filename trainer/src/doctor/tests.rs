//! Histories and what the doctor makes of them.

use super::*;

fn facts() -> Facts {
    Facts {
        dead_steps: 10,
        max_tokens: 64,
        clips_tokens: true,
        loss_cancels: true,
        learning_rate: 4e-2,
        correctness: vec![("countdown".into(), -1.0)],
    }
}

/// A step of a healthy run.
fn healthy(step: u64) -> Observation {
    Observation {
        step,
        n_groups: Some(16.0),
        equal_groups: Some(0.1),
        reward: Some(0.6),
        reward_std: Some(0.5),
        accuracy: Some(0.3),
        format: Some(0.4),
        truncated: Some(0.02),
        mean_length: Some(30.0),
        entropy: Some(0.25),
        kl: Some(0.02),
        clipped: Some(0.0),
        gap: Some(0.001),
        policy_loss: Some(-0.2),
        grad_norm: Some(0.1),
        unanswered: Some(0.4),
        formed: None,
        reopened: None,
        right: Some(Side { n: 70.0, advantage_sum: 60.0 }),
        wrong: Some(Side { n: 186.0, advantage_sum: -60.0 }),
    }
}

/// The symptoms said of so many steps, each a healthy one changed by `change`, with the steps at which they were said.
fn said(n_steps: u64, change: impl Fn(&mut Observation)) -> Vec<(u64, Symptom)> {
    let mut doctor = Doctor::new(facts());
    let mut said = Vec::new();
    for step in 1..=n_steps {
        let mut observation = healthy(step);
        change(&mut observation);
        said.extend(doctor.examine(observation).into_iter().map(|diagnosis| (step, diagnosis.symptom)));
    }
    said
}

/// From `from` on, `change` holds; it is said `after` of its steps.
fn check(from: u64, after: u64, symptom: Symptom, change: impl Fn(&mut Observation)) {
    let change = |observation: &mut Observation| {
        if observation.step >= from {
            change(observation);
        }
    };
    assert_eq!(said(40, change), [(from + after - 1, symptom)]);
}

/// Nothing is said.
fn check_silent(change: impl Fn(&mut Observation)) {
    assert_eq!(said(60, change), []);
}

/// From `before` in the first ten steps to `after` later.
fn turns(step: u64, before: f64, after: f64) -> Option<f64> {
    Some(if step <= 10 { before } else { after })
}

#[test]
fn nothing_is_said_of_a_healthy_run() {
    check_silent(|_| {});
    // The main run: entropy to a twelfth, lengths fourfold, half of the groups equal, as accuracy rises.
    check_silent(|o| {
        let share = (o.step as f64 / 60.0).min(1.0);
        (o.accuracy, o.format, o.reward) =
            (Some(0.2 + 0.7 * share), Some(0.35 + 0.65 * share), Some(0.6 + 1.3 * share));
        (o.entropy, o.mean_length) = (Some(0.25 - 0.23 * share), Some(30.0 + 90.0 * share));
        (o.truncated, o.equal_groups, o.kl) = (Some(0.07 * share), Some(0.9 * share), Some(0.26 * share));
    });
}

#[test]
fn rewards() {
    check(5, 10, Symptom::NothingToLearn, |o| o.equal_groups = Some(1.0));
    check_silent(|o| o.equal_groups = Some(if o.step % 10 == 0 { 0.9 } else { 1.0 }));
    let flipped = |o: &mut Observation| {
        (o.right, o.wrong) = (Some(Side { n: 10.0, advantage_sum: -8.0 }), Some(Side { n: 54.0, advantage_sum: 8.0 }));
    };
    check(1, 5, Symptom::RightAnswersPunished, flipped);
    // Four right answers in ten steps, or advantages that chance makes, say nothing.
    check_silent(|o| o.right = Some(Side { n: 0.4, advantage_sum: -0.4 }));
    check_silent(|o| {
        (o.right, o.wrong) = (Some(Side { n: 10.0, advantage_sum: -0.5 }), Some(Side { n: 54.0, advantage_sum: 0.5 }));
    });
    check(11, 4, Symptom::FormatOverAccuracy, |o| (o.accuracy, o.format) = (Some(0.05), Some(0.8)));
    check(11, 4, Symptom::RewardOverAccuracy, |o| (o.accuracy, o.reward) = (Some(0.05), Some(0.9)));
    // Accuracy alone may fall, and a fall within its error is none.
    check_silent(|o| o.accuracy = turns(o.step, 0.3, 0.1));
    check_silent(|o| (o.accuracy, o.format) = (turns(o.step, 0.3, 0.18), turns(o.step, 0.4, 0.8)));
}

#[test]
fn texts() {
    check(4, 3, Symptom::AllTruncated, |o| o.truncated = Some(0.95));
    check_silent(|o| o.truncated = Some(0.8));
    check(4, 3, Symptom::NoAnswers, |o| o.unanswered = Some(0.95));
    check_silent(|o| o.unanswered = Some(0.85));
    check(1, 3, Symptom::PrefilledTag, |o| o.reopened = Some(0.6));
    check(1, 3, Symptom::PrefilledTag, |o| (o.reopened, o.formed) = (Some(0.0), Some(0.01)));
    check_silent(|o| (o.reopened, o.formed) = (Some(0.1), Some(0.3)));
    check_silent(|o| (o.reopened, o.formed) = (None, Some(0.0)));
    check(11, 4, Symptom::LengthExplosion, |o| (o.mean_length, o.truncated) = (Some(90.0), Some(0.4)));
    check_silent(|o| (o.mean_length, o.truncated) = (turns(o.step, 30.0, 120.0), turns(o.step, 0.0, 0.2)));
    check_silent(|o| (o.mean_length, o.truncated) = (Some(30.0), turns(o.step, 0.0, 0.4)));
}

#[test]
fn policy() {
    check(6, 3, Symptom::Diverged, |o| o.kl = Some(1.2));
    check(6, 3, Symptom::Diverged, |o| (o.kl, o.clipped) = (None, Some(0.6)));
    let lost = |reward: f64| move |o: &mut Observation| (o.accuracy, o.reward) = (Some(0.01), Some(reward));
    check(6, 3, Symptom::Diverged, lost(0.1));
    check_silent(|o| o.accuracy = turns(o.step, 0.3, 0.01));
    // Where nothing was right at the start, nothing is lost.
    check_silent(|o| (o.accuracy, o.format, o.reward) = (Some(0.02), Some(0.0), turns(o.step, 0.6, 0.1)));
    check_silent(|o| o.kl = Some(if o.step % 3 == 0 { 0.1 } else { 30.0 }));
    // Four of five steps at 0.005, one at 0.25, are a mean of 0.054: not a tenth yet.
    check(11, 5, Symptom::EntropyCollapse, |o| o.entropy = Some(0.005));
    check_silent(|o| (o.entropy, o.accuracy) = (turns(o.step, 0.25, 0.005), turns(o.step, 0.3, 0.6)));
    check_silent(|o| {
        (o.entropy, o.accuracy) = (turns(o.step, 0.25, 0.005), None);
        o.reward = turns(o.step, 0.5, 0.6);
    });
    check(11, 5, Symptom::GapGrows, |o| o.gap = Some(0.06));
    check_silent(|o| o.gap = turns(o.step, 0.03, 0.08));
    check(1, 1, Symptom::LossIsZero, |o| o.policy_loss = Some(1e-8));
    check_silent(|o| (o.policy_loss, o.grad_norm) = (Some(0.0), Some(0.0)));
}

#[test]
fn what_follows_from_an_illness_is_not_said_beside_it() {
    let flooded = |o: &mut Observation| {
        (o.kl, o.truncated, o.unanswered) = (Some(4.0), Some(1.0), Some(1.0));
    };
    assert_eq!(said(20, flooded), [(3, Symptom::Diverged)]);
    let cut = |o: &mut Observation| (o.truncated, o.unanswered) = (Some(1.0), Some(1.0));
    assert_eq!(said(20, cut), [(3, Symptom::AllTruncated)]);
}

#[test]
fn what_was_away_for_long_is_said_again_and_notes_never() {
    let at = |steps: &'static [std::ops::RangeInclusive<u64>]| {
        move |o: &mut Observation| {
            if steps.iter().any(|range| range.contains(&o.step)) {
                (o.truncated, o.policy_loss) = (Some(1.0), Some(0.0));
            }
        }
    };
    let first = [(1, Symptom::LossIsZero), (3, Symptom::AllTruncated)];
    assert_eq!(said(200, at(&[1..=200])), first);
    assert_eq!(said(200, at(&[1..=5, 50..=60])), first);
    assert_eq!(said(200, at(&[1..=5, 100..=110])), [&first[..], &[(102, Symptom::AllTruncated)]].concat());
}

#[test]
fn a_diagnosis_has_its_numbers_and_names_keys() {
    let mut doctor = Doctor::new(facts());
    let mut found = Vec::new();
    for step in 1..=5 {
        let (right, wrong) = (Side { n: 10.0, advantage_sum: -8.0 }, Side { n: 54.0, advantage_sum: 8.0 });
        let kl = (step > 2).then_some(5.0);
        let observation = Observation { right: Some(right), wrong: Some(wrong), kl, ..healthy(step) };
        found.extend(doctor.examine(observation));
    }
    let [diverged, punished] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((diverged.since, diverged.numbers["kl"], diverged.numbers["learning_rate"]), (3, 5.0, 0.04));
    assert!(diverged.advice[0].contains("optimizer.learning_rate: it is 4e-2, try 4e-3"), "{diverged:?}");
    assert_eq!((punished.since, punished.numbers["advantage_right"]), (1, -0.8));
    assert!(punished.message.contains("-0.80") && punished.message.contains("+0.15"), "{punished:?}");
    assert_eq!(punished.advice[0], "a positive weight: rewards.countdown.weight is -1");
}

/// GSPO clips by the completion, and most of a healthy step at times.
#[test]
fn a_clip_of_whole_completions_shows_no_divergence() {
    let clipped = |clips_tokens: bool| {
        let mut doctor = Doctor::new(Facts { clips_tokens, ..facts() });
        let steps = (1..=9).map(|step| Observation { kl: None, clipped: Some(0.6), ..healthy(step) });
        steps.flat_map(|step| doctor.examine(step)).map(|diagnosis| diagnosis.symptom).collect::<Vec<_>>()
    };
    assert_eq!(clipped(true), [Symptom::Diverged]);
    assert_eq!(clipped(false), []);
}

/// A limit and a rate that change by step are those of the step.
#[test]
fn what_is_said_is_of_the_settings_as_they_are_by_then() {
    let mut doctor = Doctor::new(facts());
    let cut = |step| Observation { truncated: Some(1.0), ..healthy(step) };
    let before: usize = (1..=2).map(|step| doctor.examine(cut(step)).len()).sum();
    doctor.know(Facts { max_tokens: 128, ..facts() });
    let found = doctor.examine(cut(3));
    assert!(before == 0 && found[0].message.contains("rollout.max_tokens = 128"), "{found:?}");
    assert_eq!(found[0].advice[0], "a larger rollout.max_tokens, such as 512");
}

/// A limit that was none at first is not what to change first.
#[test]
fn a_policy_that_changed_is_told_from_a_limit_that_is_too_low() {
    let advice = |from: u64| {
        let mut doctor = Doctor::new(facts());
        let share = |step| if step < from { 0.1 } else { 1.0 };
        let found: Vec<Diagnosis> = (1..=8)
            .flat_map(|step| doctor.examine(Observation { truncated: Some(share(step)), ..healthy(step) }))
            .collect();
        found[0].advice[0].clone()
    };
    assert_eq!(advice(1), "a larger rollout.max_tokens, such as 256");
    assert!(
        advice(4).starts_with("a smaller optimizer.learning_rate: 10 % were cut off in the first step"),
        "{}",
        advice(4)
    );
}

#[test]
fn a_run_is_dead_when_nothing_tells_completions_apart() {
    let dead = |n: u64, change: &dyn Fn(&mut Observation)| {
        let mut doctor = Doctor::new(facts());
        for step in 1..=n {
            let mut observation = healthy(step);
            change(&mut observation);
            doctor.examine(observation);
        }
        doctor.is_dead()
    };
    assert!(!dead(9, &|o| o.equal_groups = Some(1.0)));
    assert!(dead(10, &|o| o.equal_groups = Some(1.0)));
    assert!(dead(10, &|o| (o.truncated, o.accuracy) = (Some(1.0), Some(0.0))));
    assert!(!dead(10, &|o| (o.truncated, o.accuracy) = (Some(1.0), Some(0.01))));
    assert!(!dead(10, &|o| o.truncated = Some(1.0)));
}

/// A doctor who is called in the middle knows the steps before and what was said of them.
#[test]
fn a_resumed_stage_is_taken_up() {
    let equal = |step| Observation { equal_groups: Some(1.0), ..healthy(step) };
    let earlier = |to: u64| (1..=to).map(equal).collect::<Vec<_>>();
    let mut doctor = Doctor::new(facts()).resumed(earlier(9), &[]);
    let said = doctor.examine(equal(10));
    assert_eq!(said.len(), 1, "{said:?}");
    let row = DoctorRow { stage: "grpo".into(), step: 10, diagnosis: said[0].clone() };
    let mut doctor = Doctor::new(facts()).resumed(earlier(80), std::slice::from_ref(&row));
    assert_eq!(doctor.examine(equal(81)), []);
    assert!(doctor.is_dead());
    // Said at step 10 and away since: said again.
    let healthy_since = [earlier(10), (11..=80).map(healthy).collect()].concat();
    let mut doctor = Doctor::new(facts()).resumed(healthy_since, &[row]);
    let again: usize = (81..=90).map(|step| doctor.examine(equal(step)).len()).sum();
    assert_eq!(again, 1);
}

#[test]
fn a_row_survives_json_and_nothing_in_it_moves_the_cursor() {
    let mut doctor = Doctor::new(facts());
    let reopened = |step| Observation { reopened: Some(1.0), ..healthy(step) };
    let mut diagnosis = (1..=3).flat_map(|step| doctor.examine(reopened(step))).next().unwrap();
    assert!(diagnosis.wants_tokens());
    diagnosis.tokens = Some("prompt ... \u{1b}[2J\u{202e}\ncompletion".into());
    let row = DoctorRow { stage: "grpo".into(), step: 3, diagnosis };
    let json = serde_json::to_string(&row).unwrap();
    assert!(
        json.starts_with(r#"{"stage":"grpo","step":3,"symptom":"prefilled_tag","kind":"warning","since":1,"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<DoctorRow>(&json).unwrap(), row);
    let text = row.to_string();
    assert!(text.starts_with("the doctor, stage grpo, step 3: the prompt opens <think> already"), "{text}");
    assert!(text.contains("\n  prompt ... ") && text.contains("\n  completion\n  try: "), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
}
