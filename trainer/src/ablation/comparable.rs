//! Which metrics of the steps do not mean the same in every arm, and so do not compare arms.

use crate::config::{GrpoStage, Judge, Reward, Stage};

/// What is of the groups that a step learned from; a name that ends in `/` is all that is below it.
const OF_GROUPS: [&str; 7] =
    ["reward", "reward_std", "rewards/", "accuracy", "format", "completions/", "frac_reward_zero_std"];

/// Means over the tokens that go through an update.
const OF_TOKENS: [&str; 4] = ["entropy", "kl", "importance/", "logprob_gap/"];

const OF_CLIP: [&str; 1] = ["clip_ratio/"];

/// A line for each thing in which arms differ so that metrics of it do not compare them, if one of these is shown.
///
/// - `arms`: the stages of each arm
/// - `metrics`: the names that are shown
pub(super) fn notes(arms: &[&[Stage]], metrics: &[&str]) -> Vec<String> {
    let arms_differ = |of: &dyn Fn(&[Stage]) -> String| arms.windows(2).any(|pair| of(pair[0]) != of(pair[1]));
    let differ =
        |of: &dyn Fn(&GrpoStage) -> String| arms_differ(&|arm| format!("{:?}", grpo(arm).map(of).collect::<Vec<_>>()));
    let mut notes = Vec::new();
    let mut note = |differs: bool, of: &[&str], why: &str| {
        let is_of = |name: &str| of.iter().any(|start| is_or_below(name, start));
        let shown: Vec<String> = metrics.iter().filter(|name| is_of(name)).map(|name| format!("`{name}`")).collect();
        if differs && !shown.is_empty() {
            let does = if shown.len() == 1 { "does" } else { "do" };
            notes.push(format!("- {} {does} not compare arms here: {why}.", shown.join(", ")));
        }
    };
    note(differ(&|stage| format!("{:?}", stage.rewards)), &["reward", "reward_std"], "they have rewards of their own");
    for (name, shown) in by_reward(metrics) {
        note(arms_differ(&|arm| judged_by(arm, name)), &shown, "the reward is not judged alike");
    }
    note(
        differ(&|stage| stage.rollout.dynamic_sampling.is_some().to_string()),
        &[&OF_GROUPS[..], &OF_TOKENS].concat(),
        "with dynamic sampling it is of the groups that were learned from, without it of all",
    );
    note(
        differ(&leaves_out),
        &OF_TOKENS,
        "without a KL term in the loss and without a bonus for entropy, completions without gradient are left out of it",
    );
    note(
        differ(&|stage| format!("{:?} {:?}", stage.grpo.ratio, stage.grpo.surrogate)),
        &OF_CLIP,
        "it depends on `ratio` and `surrogate` what is outside of the clip",
    );
    notes
}

fn grpo(arm: &[Stage]) -> impl Iterator<Item = &GrpoStage> {
    arm.iter().filter_map(Stage::as_grpo)
}

/// The shown metrics of each reward, `rewards/NAME/..`.
fn by_reward<'a>(metrics: &[&'a str]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for metric in metrics {
        let Some((name, _)) = metric.strip_prefix("rewards/").and_then(|rest| rest.split_once('/')) else { continue };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, shown)) => shown.push(metric),
            None => found.push((name, vec![metric])),
        }
    }
    found
}

/// How a reward judges in an arm, as a text that can be compared. Its weight is not part of it: that changes what is learned, not
/// what is shown.
fn judged_by(arm: &[Stage], name: &str) -> String {
    let mut text = String::new();
    for all in grpo(arm).map(|stage| &stage.rewards.0) {
        let is_any = |kind: &dyn Fn(&Reward) -> bool| all.iter().any(|reward| reward.name == name && kind(reward));
        // What an expression says depends on the rewards that it names, shaping on the reward that it shapes, and a learned
        // reward on the stages that make it.
        let reads_others =
            is_any(&|reward| matches!(reward.judge, Judge::Expression { .. }) || !reward.judge.of().is_empty());
        let is_learned = is_any(&|reward| matches!(reward.judge, Judge::RewardModel { .. }));
        let own = all.iter().filter(|reward| reads_others || reward.name == name);
        let others = arm.iter().filter(|stage| is_learned && stage.as_grpo().is_none());
        let own = own.map(|reward| (&reward.name, &reward.domains, &reward.judge));
        text += &format!("{:?} {:?}", own.collect::<Vec<_>>(), others.collect::<Vec<_>>());
    }
    text
}

/// In which steps tokens without advantage take part, as a text that can be compared.
fn leaves_out(stage: &GrpoStage) -> String {
    let steps = std::iter::once(1).chain(stage.grpo.kl_beta_from_step.iter().map(|(step, _)| *step));
    let mut changes: Vec<(u64, bool)> = steps.map(|step| (step, stage.grpo.always_has_gradient(step))).collect();
    changes.dedup_by_key(|(_, has)| *has);
    format!("{changes:?}")
}

/// `kl` is `kl`, and `clip_ratio/low_mean` is below `clip_ratio/`.
fn is_or_below(name: &str, start: &str) -> bool {
    if start.ends_with('/') { name.starts_with(start) } else { name == start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunFile;

    const RUN: &str = r#"[model]
path = "."
[[stage]]
kind = "grpo"
steps = 10
problems.countdown = {}
rewards.countdown.weight = 1.0
optimizer.learning_rate = 1e-3
"#;

    const METRICS: [&str; 7] =
        ["eval/pass_at_1", "reward", "rewards/countdown/mean", "entropy", "kl", "clip_ratio/low_mean", "grad_norm"];

    fn stages(overrides: &[&str]) -> Vec<Stage> {
        stages_of(RUN, overrides)
    }

    fn stages_of(run: &str, overrides: &[&str]) -> Vec<Stage> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, run).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|&argument| argument.to_owned()).collect();
        RunFile::load(&path, &overrides).unwrap_or_else(|error| panic!("{error}")).resolved.stages
    }

    /// What is noted of a plain arm beside one with `overrides`: the metrics named in each note.
    fn check(overrides: &[&str], expected: &[&str]) {
        let (plain, other) = (stages(&[]), stages(overrides));
        let found = notes(&[&plain, &plain, &other], &METRICS);
        let named: Vec<&str> = found.iter().map(|note| note.split(" do").next().unwrap()).collect();
        assert_eq!(named, expected, "{overrides:?}: {found:#?}");
        assert_eq!(notes(&[&other, &other], &METRICS), Vec::<String>::new());
        assert_eq!(notes(&[&plain, &other], &["eval/pass_at_1", "grad_norm"]), Vec::<String>::new());
    }

    #[test]
    fn only_what_differs_is_noted_and_only_if_it_is_shown() {
        check(&[], &[]);
        check(&["stage.optimizer.learning_rate=1e-4", "stage.grpo.kl_beta=0.04"], &[]);
        check(&["stage.rewards.countdown.weight=0.5"], &["- `reward`"]);
        check(&["stage.rewards.countdown.partial=0.5"], &["- `reward`", "- `rewards/countdown/mean`"]);
        check(
            &["stage.rollout.dynamic_sampling.max_rounds=3"],
            &["- `reward`, `rewards/countdown/mean`, `entropy`, `kl`"],
        );
        check(&["stage.grpo.kl_beta=0"], &["- `entropy`, `kl`"]);
        check(&["stage.grpo.kl_beta_from_step=[[5, 0.0]]"], &["- `entropy`, `kl`"]);
        check(&["stage.grpo.kl_beta=0", "stage.grpo.entropy_coefficient=0.001"], &[]);
        check(&["stage.grpo.surrogate=cispo"], &["- `clip_ratio/low_mean`"]);
        check(
            &["stage.grpo.ratio=sequence", "stage.grpo.kl_beta=0"],
            &["- `entropy`, `kl`", "- `clip_ratio/low_mean`"],
        );
    }

    #[test]
    fn a_learned_reward_is_judged_alike_where_it_is_learned_alike() {
        let taste = r#"[[stage]]
kind = "reward_model"
name = "taste"
init = "base"
data = "PAIRS"
optimizer.learning_rate = 1e-3
[[stage]]
init = "base"
"#;
        let liked = "rewards.liked = { kind = \"reward_model\", model = \"taste\" }\n";
        let pairs = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/preferences_heldout.jsonl");
        let run = RUN.replace("[[stage]]\n", &taste.replace("PAIRS", pairs)) + liked;
        let metrics = ["rewards/countdown/mean", "rewards/liked/mean"];
        let noted = |overrides: &[&str]| notes(&[&stages_of(&run, &[]), &stages_of(&run, overrides)], &metrics);
        assert_eq!(noted(&["stage.grpo.rewards.liked.weight=0.5"]), Vec::<String>::new());
        let expected = "- `rewards/liked/mean` does not compare arms here: the reward is not judged alike.";
        assert_eq!(noted(&["stage.taste.epochs=3"]), [expected]);
        assert_eq!(noted(&["stage.grpo.rewards.liked.squash=sigmoid"]), [expected]);
    }
}
