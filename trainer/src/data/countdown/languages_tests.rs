//! A corpus in two languages: it says the same in both, mixes them as often as asked, and the reward tells.

use rewards::{CompletionView, LanguageConsistency, LanguageConsistencyOptions, RewardFn};

use super::corpus::{About, Corpus, CorpusWeights, Document};
use super::phrases::{self, Twins};
use super::problems::{ProblemRanges, ProblemSource};
use super::styles::{Depth, Style};
use crate::data::instructions::InstructionWeights;
use crate::data::language::{Language, Manner, MannerWeights};
use crate::data::questions::problem;

fn documents_of(languages: &[Language], manners: [f64; 3], share: f64, count: u64) -> Vec<Document> {
    let ranges = ProblemRanges { languages: languages.to_vec(), ..ProblemRanges::default() };
    let [own, other, mixed] = manners;
    let weights = CorpusWeights {
        languages: MannerWeights { own, other, mixed },
        instructions: InstructionWeights { share, ..InstructionWeights::default() },
        ..CorpusWeights::default()
    };
    let corpus = Corpus::new(ProblemSource::new(ranges, []).unwrap(), weights, 1).unwrap();
    (0..count).map(|index| corpus.document(index).unwrap()).collect()
}

/// The language consistency of a document's thoughts.
fn consistency(document: &Document) -> f64 {
    let judge = LanguageConsistency::new(LanguageConsistencyOptions::default()).unwrap();
    let any = super::problems::CountdownProblem { numbers: vec![1, 2, 3], target: 6 };
    let row = problem(&any, Some(document.language));
    let verdict = judge.judge(&row, &CompletionView::new(&document.completion, 0, false));
    f64::from(verdict.score.expect("a score"))
}

fn is_transcript(document: &&Document) -> bool {
    matches!(document.about, About::Problem(..))
}

#[test]
fn the_corpus_of_one_language_is_what_it_was() {
    // FNV-1a over 500 documents. The embedded base was made from these; a draw more or less anywhere changes them all.
    let hash = documents_of(&[Language::En], [1.0, 0.0, 0.0], 0.0, 500)
        .iter()
        .flat_map(|document| [document.prompt.as_bytes(), document.completion.as_bytes()].concat())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(hash, 8_329_646_930_255_094_668);
}

#[test]
fn chinese_transcripts_say_what_english_ones_say() {
    let mut twins: Vec<Twins> = vec![
        phrases::PLAIN_OPENING,
        phrases::THEN,
        phrases::NO,
        phrases::TOO_SMALL,
        phrases::TOO_BIG,
        phrases::ALL_TRIED,
        phrases::WILL_GUESS,
        phrases::GIVE_UP_PLAINLY,
        phrases::GIVE_UP,
        phrases::ANSWER_IS,
        phrases::REMARK,
        phrases::PAGE[0],
        phrases::PAGE[1],
    ];
    twins.extend(phrases::YES);
    twins.extend([Depth::Guess, Depth::Short, Depth::Long].into_iter().flat_map(phrases::openings));
    twins.push(phrases::FULL_STOP);
    let english = documents_of(&[Language::En], [1.0, 0.0, 0.0], 0.0, 1_000);
    let chinese = documents_of(&[Language::Zh], [1.0, 0.0, 0.0], 0.0, 1_000);
    for (english, chinese) in english.iter().zip(&chinese) {
        let translated =
            twins.iter().fold(chinese.completion.clone(), |text, [english, chinese]| text.replace(chinese, english));
        assert_eq!(translated, english.completion);
        assert_eq!(chinese.about, english.about);
        if let About::Problem(problem, _) = &chinese.about {
            assert_eq!(chinese.prompt, rollout::r1_zero(&problem.question(Language::Zh)));
        }
    }
}

#[test]
fn manners_are_as_frequent_as_asked_whatever_the_style() {
    let documents = documents_of(&Language::ALL, [0.3, 0.1, 0.6], 0.0, 6_000);
    let transcripts: Vec<&Document> = documents.iter().filter(is_transcript).collect();
    let share = |test: &dyn Fn(&Document, &Style) -> bool, manner: Manner| {
        let of_style = transcripts.iter().filter(|document| match &document.about {
            About::Problem(_, style) => test(document, style),
            About::Sums | About::Instruction(..) => false,
        });
        let (mut all, mut such) = (0.0_f64, 0.0_f64);
        for document in of_style {
            all += 1.0;
            such += if document.manner == manner { 1.0 } else { 0.0 };
        }
        such / all
    };
    type Test = dyn Fn(&Document, &Style) -> bool;
    let styles: [&Test; 4] =
        [&|_, _| true, &|document, _| document.language == Language::Zh, &|_, s| s.depth == Depth::Long, &|_, s| {
            s.careful
        }];
    for of_style in styles {
        for (manner, expected) in [(Manner::Own, 0.3), (Manner::Other, 0.1), (Manner::Mixed, 0.6)] {
            let share = share(of_style, manner);
            assert!((share - expected).abs() < 0.035, "{manner:?}: {share}");
        }
    }
}

#[test]
fn the_reward_tells_pure_thoughts_from_mixed_ones() {
    for share in [0.0, 1.0] {
        let documents = documents_of(&Language::ALL, [1.0, 1.0, 1.0], share, 3_000);
        let documents: Vec<&Document> = documents.iter().filter(|d| d.about != About::Sums).collect();
        for language in Language::ALL {
            let mean = |manner: Manner| {
                let such = documents.iter().filter(|d| d.manner == manner && d.language == language);
                let scores: Vec<f64> = such.map(|document| consistency(document)).collect();
                assert!(scores.len() > 200);
                scores.iter().sum::<f64>() / scores.len() as f64
            };
            let [own, other, mixed] = [Manner::Own, Manner::Other, Manner::Mixed].map(mean);
            assert!(own > 0.97, "{language:?}, share {share}: own {own}");
            // Of an instruction the response keeps to the language of the question, and without tags it counts as thoughts.
            assert!(other < if share > 0.0 { 0.25 } else { 0.05 }, "{language:?}, share {share}: other {other}");
            assert!((0.3..0.8).contains(&mixed), "{language:?}, share {share}: mixed {mixed}");
        }
    }
}

#[test]
fn instructions_are_as_frequent_as_asked_and_never_held_out() {
    let documents = documents_of(&Language::ALL, [0.3, 0.1, 0.6], 0.25, 4_000);
    let mut n_instructions = 0;
    for document in &documents {
        let About::Instruction(instruction, _) = &document.about else { continue };
        n_instructions += 1;
        assert!(!instruction.is_held_out(), "{}", instruction.question());
        assert_eq!(document.prompt, rollout::r1_zero(&instruction.question()));
        assert_eq!(instruction.language, document.language);
    }
    assert!((f64::from(n_instructions) / 4_000.0 - 0.25).abs() < 0.03, "{n_instructions}");
    let plain = documents_of(&Language::ALL, [0.3, 0.1, 0.6], 0.0, 4_000);
    for (plain, document) in plain.iter().zip(&documents) {
        assert!(
            plain == document || matches!(document.about, About::Instruction(..)),
            "an instruction moved a transcript"
        );
    }
}
