//! From `[stage.prompt]` to the text around questions.

use rollout::{Template, Tokenizer};

use crate::config;

/// The template that the run file asks for, with a model's own chat template where that is asked for.
///
/// # Errors
/// If the model has no chat template, or one that cannot be used.
pub fn template(prompt: &config::Prompt, tokenizer: &Tokenizer) -> rollout::Result<Template> {
    Ok(match prompt.template {
        config::Template::R1Zero => Template::R1Zero,
        config::Template::None => Template::None,
        config::Template::Chat => Template::chat(tokenizer.chat_template()?, prompt.system.clone()),
    })
}
