//! grpo-train: group-relative policy optimisation of language models, in one process.
//!
//! The library behind the binary of the same name: the run file ([`config`]), the data ([`data`]), the objective
//! ([`grpo`]), the losses of a reward model ([`reward_model`]), the optimiser ([`optim`]), the stages ([`stages`]), and what a
//! run leaves behind ([`run`], [`telemetry`]).

pub mod ablation;
pub mod address;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data;
pub mod doctor;
pub mod evaluation;
pub mod flops;
pub mod grpo;
pub mod judges;
pub mod machine;
pub mod optim;
pub mod plan;
pub mod prompts;
pub mod reward_model;
pub mod run;
pub mod scoring;
pub mod selection;
pub mod sft;
pub mod show;
pub mod stages;
pub mod teacher;
pub mod telemetry;
