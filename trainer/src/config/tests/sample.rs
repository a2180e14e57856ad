//! Stages of kind `sample` and `curate`: what makes their samples the same, and what is refused.

use super::accepted;

const TEXT: &str = r#"[model]
path = "base"
[[stage]]
kind = "sample"
n_problems = 10
init = "base"
problems.source = [{ countdown = {}, weight = 2.0 }, { jsonl.path = "x.jsonl" }]
rewards.countdown = {}
rewards.pleases = { kind = "reward_model", model = "judge" }
[[stage]]
kind = "curate"
data = ["sample"]
n = 5
difficulty = [{ model = "base" }]
rewards.countdown = {}
"#;

#[test]
fn another_choice_is_another_stage_of_the_same_samples() {
    let of = |overrides: &[&str], stage_idx: usize| {
        let resolved = accepted(TEXT, overrides);
        (resolved.stage_identities().swap_remove(stage_idx), resolved.asked_identity(stage_idx))
    };
    let check = |change: &str, stage_idx: usize, same_stage: bool, same_samples: bool| {
        let (before, after) = (of(&[], stage_idx), of(&[change], stage_idx));
        assert_eq!(before.0 == after.0, same_stage, "{change}: the stage");
        assert_eq!(before.1 == after.1, same_samples, "{change}: its samples");
    };
    for change in
        ["sample.batch_problems=7", "sample.sampling.max_batch=3", "sample.rewards.pleases.max_batch_tokens=9"]
    {
        check(&format!("stage.{change}"), 0, true, true);
    }
    for change in ["n_problems=11", "filters.min_tokens=3", "keep.total=4", "layout.written=special_token"] {
        check(&format!("stage.sample.{change}"), 0, false, true);
    }
    for change in
        ["samples_per_problem=5", "sampling.temperature=0.5", "prompt.template=none", "rewards.countdown.partial=0.2"]
    {
        check(&format!("stage.sample.{change}"), 0, false, false);
    }
    check("stage.curate.batch_problems=7", 1, true, true);
    for change in [
        "n=6",
        "filters.min_tokens=3",
        "data=[\"other.jsonl\"]",
        "difficulty=[{ model = \"base\", max_pass_rate = 0.5 }]",
    ] {
        check(&format!("stage.curate.{change}"), 1, false, true);
    }
    check("stage.curate.difficulty=[{ model = \"base\", samples_per_problem = 2 }]", 1, false, false);
    check("run.seed=7", 1, false, false);
}

#[test]
fn weights_by_step_are_refused_where_there_are_no_steps() {
    let check = |change: &str| {
        let message = super::message(TEXT, &[change]);
        for part in ["has no steps: `weight_from_step` would never be looked at", "take it out"] {
            assert!(message.contains(part), "{part:?} is not in\n{message}");
        }
    };
    check("stage.sample.rewards.countdown.weight_from_step=[[2, 0.5]]");
    check("stage.sample.problems.source=[{ countdown = {}, weight_from_step = [[2, 0.5]] }]");
}
