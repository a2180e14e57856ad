//! What `--check` says of a stage of kind `sft`.

use super::line;
use crate::config::{ConfigError, OnLong, RunFile, SftStage, Template};

/// Refuses examples that are longer than the context of the model, in tokens.
pub(super) fn check(file: &RunFile, idx: usize, stage: &SftStage, context: u64) -> Result<(), ConfigError> {
    let Some(max_tokens) = stage.max_tokens.filter(|&max_tokens| max_tokens > context) else { return Ok(()) };
    let title = format!("`max_tokens` is {max_tokens}, but the context of the model is {context} tokens");
    let expected = format!("expected {context} at most");
    Err(file.refuse(&format!("stage[{idx}].max_tokens"), &title, &expected, ""))
}

/// The lines of a stage.
pub(super) fn describe(text: &mut String, stage: &SftStage) {
    let each = format!("one update on {} examples each", stage.batch_size);
    match (stage.steps, stage.epochs) {
        (Some(steps), _) => line(text, "steps", format_args!("{steps}, {each}")),
        (None, epochs) => {
            line(text, "epochs", format_args!("{} of all examples; {each}", epochs.unwrap_or_default()));
        }
    }
    for source in &stage.data {
        let times = if source.repeat == 1 { String::new() } else { format!(", {} times an epoch", source.repeat) };
        line(text, "data", format_args!("{}{times}", source.path));
    }
    let longer = match stage.on_long {
        OnLong::Drop => "longer ones are dropped",
        OnLong::Cut => "longer ones are cut",
        OnLong::Refuse => "longer ones are refused",
    };
    match stage.max_tokens {
        Some(max_tokens) => line(text, "examples", format_args!("of {max_tokens} tokens at most; {longer}")),
        None => line(text, "examples", format_args!("as long as the context of the model at most; {longer}")),
    }
    let template = match stage.prompt.template {
        Template::R1Zero => "questions in DeepSeek-R1-Zero's template",
        Template::None => "questions as they are",
        Template::Chat => "questions in the model's chat template",
    };
    line(text, "prompts", template);
    if let Some(held_out) = &stage.held_out {
        let when = match held_out.every_steps {
            0 => "at the end".to_owned(),
            steps => format!("every {steps} steps and at the end"),
        };
        line(text, "held out", format_args!("{}, its loss {when}", held_out.path));
    }
}
