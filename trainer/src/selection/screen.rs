//! The screen: the first reason for which a sample by itself is dropped.

use rewards::{InvalidOption, LanguageConsistency, LanguageConsistencyOptions, LanguageOver, R1Format, RewardFn};

use super::contamination::Contamination;
use super::duplicates::Duplicates;
use super::filters::{Correctness, Filters};
use super::layout::Layout;
use super::reason::{Reason, Rejection};
use super::sample::Sample;
use super::text::{Symbols, has_code_block, longest_loop, longest_paragraph, repeated_share, words};

/// Most characters of a phrase that a detail quotes.
const QUOTE_CHARS: usize = 60;

/// The filters, ready to look at samples.
#[derive(Debug, Clone)]
pub struct Screen {
    filters: Filters,
    layout: Layout,
    /// What completions are rewritten into.
    written: Option<Layout>,
    /// For thoughts and for the whole completion.
    languages: [LanguageConsistency; 2],
    contamination: Option<Contamination>,
}

/// One filter of the screen: `None` lets the sample pass.
type Filter = fn(&Screen, &Sample) -> Option<Rejection>;

/// In the order of [`Reason`].
const FILTERS: [Filter; 11] = [
    Screen::correctness,
    Screen::cut_off,
    Screen::length,
    |_, sample| Screen::blank(sample),
    Screen::format,
    Screen::summary,
    Screen::language,
    Screen::repetition,
    Screen::paragraphs,
    Screen::code,
    Screen::contaminated,
];

impl Screen {
    /// - `layout`: of the completions, for `format` and `summary`
    /// - `written`: the layout that they are to be rewritten into; those that cannot be have no format
    /// - `contamination`: the evaluations that no sample may share a run of words with
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the language is not known.
    pub fn new(
        filters: Filters,
        layout: Layout,
        written: Option<Layout>,
        contamination: Option<Contamination>,
    ) -> Result<Self, InvalidOption> {
        // A trace of nothing but equations mixes no languages.
        let options = |over| LanguageConsistencyOptions { language: filters.language.clone(), over, no_words: 1.0 };
        let reward = |over| LanguageConsistency::new(options(over));
        let languages = [reward(LanguageOver::Thinking)?, reward(LanguageOver::Completion)?];
        Ok(Self { filters, layout, written, languages, contamination })
    }

    /// What the screen does not look at, because it takes several samples.
    pub fn duplicates(&self) -> Duplicates {
        Duplicates { exact: !self.filters.duplicates, near: self.filters.near_duplicates }
    }

    /// The sample as it is written into data: in the layout asked for, or as it is. The prompt of one that is rewritten does
    /// not open the reasoning, and its tokens have to be counted again.
    pub fn written(&self, mut sample: Sample) -> Sample {
        let is_opened = self.layout.is_opened_by(&sample.prompt);
        let to = self.written.as_ref();
        if let Some(completion) = to.and_then(|to| self.layout.rewrite(&sample.completion, is_opened, to)) {
            sample.completion = completion;
            sample.n_tokens = 0;
            if is_opened {
                let n_bytes = sample.prompt.trim_end().len() - self.layout.opening().len();
                sample.prompt.truncate(n_bytes);
            }
        }
        sample
    }

    /// The first reason, in the order of [`Reason`], to drop `sample`; `None` if there is none.
    pub fn reject(&self, sample: &Sample) -> Option<Rejection> {
        FILTERS.iter().find_map(|filter| filter(self, sample))
    }

    fn correctness(&self, sample: &Sample) -> Option<Rejection> {
        match (self.filters.correct, sample.correct) {
            (Correctness::Ignored, _) | (_, Some(true)) | (Correctness::IfJudged, None) => None,
            (_, Some(false)) => Some(Rejection::plain(Reason::NotCorrect)),
            (Correctness::Required, None) => Some(Rejection::plain(Reason::NotJudged)),
        }
    }

    fn cut_off(&self, sample: &Sample) -> Option<Rejection> {
        (sample.truncated && !self.filters.truncated).then(|| Rejection::plain(Reason::Truncated))
    }

    fn length(&self, sample: &Sample) -> Option<Rejection> {
        let (n_tokens, min) = (sample.n_tokens, self.filters.min_tokens);
        if n_tokens < min {
            return Some(Rejection::new(Reason::TooShort, format!("{n_tokens} tokens, at least {min}")));
        }
        let max = self.filters.max_tokens.filter(|max| n_tokens > *max)?;
        Some(Rejection::new(Reason::TooLong, format!("{n_tokens} tokens, at most {max}")))
    }

    /// Also where no filter asks for anything: nothing can be learned from it.
    fn blank(sample: &Sample) -> Option<Rejection> {
        sample.completion.trim().is_empty().then(|| Rejection::plain(Reason::Blank))
    }

    fn format(&self, sample: &Sample) -> Option<Rejection> {
        let is_opened = self.layout.is_opened_by(&sample.prompt);
        if let Some(written) = &self.written
            && self.layout.rewrite(&sample.completion, is_opened, written).is_none()
        {
            return Some(Rejection::new(Reason::NoFormat, "it cannot be rewritten into the layout of the data"));
        }
        if !self.filters.format {
            return None;
        }
        if matches!(self.layout, Layout::SpecialToken(_)) {
            let is_kept = self.read(sample);
            return (!is_kept).then(|| Rejection::plain(Reason::NoFormat));
        }
        let verdict = R1Format::new().judge(&sample.problem, &sample.view());
        (verdict.score != Some(1.0)).then(|| Rejection::new(Reason::NoFormat, verdict.reason))
    }

    fn summary(&self, sample: &Sample) -> Option<Rejection> {
        (self.filters.summary && !self.read(sample)).then(|| Rejection::plain(Reason::NoSummary))
    }

    /// Whether the completion has both parts of the layout.
    fn read(&self, sample: &Sample) -> bool {
        self.layout.read(&sample.completion, self.layout.is_opened_by(&sample.prompt)).is_some()
    }

    fn language(&self, sample: &Sample) -> Option<Rejection> {
        let min = self.filters.min_language?;
        self.languages.iter().find_map(|reward| {
            let verdict = reward.judge(&sample.problem, &sample.view());
            let passes = verdict.score.is_some_and(|share| share >= min);
            (!passes).then(|| Rejection::new(Reason::MixedLanguage, verdict.reason))
        })
    }

    fn repetition(&self, sample: &Sample) -> Option<Rejection> {
        let Filters { max_repeated_fraction, repeated_ngram_size: size, max_loop, .. } = self.filters;
        if let Some(max) = max_repeated_fraction {
            let share = repeated_share(&words(&sample.completion, Symbols::Separate), size);
            if share > max {
                let detail = format!("{share:.2} of the {size}-grams come again, at most {max}");
                return Some(Rejection::new(Reason::Repetition, detail));
            }
        }
        let max = max_loop?;
        let found = longest_loop(&sample.completion).filter(|found| found.n_times as u64 > max)?;
        let phrase: String = found.phrase.chars().take(QUOTE_CHARS).collect();
        let detail = format!("{} times in succession, at most {max}: {phrase}", found.n_times);
        Some(Rejection::new(Reason::Repetition, detail))
    }

    fn paragraphs(&self, sample: &Sample) -> Option<Rejection> {
        let Filters { max_paragraph_words, max_paragraph_letters, .. } = self.filters;
        max_paragraph_words.or(max_paragraph_letters)?;
        let longest = longest_paragraph(&sample.completion);
        let limits =
            [(longest.n_words, max_paragraph_words, "words"), (longest.n_letters, max_paragraph_letters, "letters")];
        limits.into_iter().find_map(|(n, max, unit)| {
            let max = max.filter(|max| n as u64 > *max)?;
            Some(Rejection::new(Reason::LongParagraph, format!("{n} {unit} in one paragraph, at most {max}")))
        })
    }

    fn code(&self, sample: &Sample) -> Option<Rejection> {
        let drops = !self.filters.code_blocks && has_code_block(&sample.completion);
        drops.then(|| Rejection::plain(Reason::CodeBlock))
    }

    fn contaminated(&self, sample: &Sample) -> Option<Rejection> {
        let hit = self.contamination.as_ref()?.find(&sample.problem.question, &sample.completion)?;
        Some(Rejection::new(Reason::Contaminated, format!("{}: {}", hit.place, hit.words)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rewards::{Gold, Problem};

    use super::super::contamination::{DecontaminationOptions, EvaluationRow};
    use super::*;

    /// A right sample of 10 tokens.
    pub(in super::super) fn sample(question: &str, completion: &str) -> Sample {
        Sample {
            problem: Problem { id: question.to_owned(), question: question.to_owned(), gold: Gold::default() },
            prompt: String::new(),
            completion: completion.to_owned(),
            n_tokens: 10,
            truncated: false,
            reward: Some(1.0),
            correct: Some(true),
            components: [].into(),
            provenance: None,
        }
    }

    fn in_language(language: &str, completion: &str) -> Sample {
        let mut sample = sample("q", completion);
        sample.problem.gold.fields.insert("language".to_owned(), language.into());
        sample
    }

    fn check(filters: &Filters, sample: &Sample, expected: Option<Reason>) {
        let screen = Screen::new(filters.clone(), Layout::ThinkAnswer, None, None).unwrap();
        let found = screen.reject(sample).map(|found| found.reason);
        assert_eq!(found, expected, "{filters:?}\n{sample:?}");
    }

    #[test]
    fn answers_and_lengths() {
        let filters = Filters { min_tokens: 5, max_tokens: Some(10), ..Filters::default() };
        let with = |correct| Filters { correct, ..Filters::default() };
        let judged = |correct| Sample { correct, ..sample("q", "a") };
        check(&with(Correctness::Required), &judged(Some(true)), None);
        check(&with(Correctness::Required), &judged(Some(false)), Some(Reason::NotCorrect));
        check(&with(Correctness::Required), &judged(None), Some(Reason::NotJudged));
        check(&with(Correctness::IfJudged), &judged(None), None);
        check(&with(Correctness::IfJudged), &judged(Some(false)), Some(Reason::NotCorrect));
        check(&with(Correctness::Ignored), &judged(Some(false)), None);
        for (n_tokens, expected) in [(4, Some(Reason::TooShort)), (5, None), (10, None), (11, Some(Reason::TooLong))] {
            check(&filters, &Sample { n_tokens, ..sample("q", "a") }, expected);
        }
        let cut = Sample { truncated: true, ..sample("q", "a") };
        check(&Filters::default(), &cut, Some(Reason::Truncated));
        check(&Filters { truncated: true, ..Filters::default() }, &cut, None);
        let ignored = Filters { correct: Correctness::Ignored, truncated: true, ..Filters::default() };
        for completion in ["", " \n"] {
            check(&ignored, &sample("q", completion), Some(Reason::Blank));
        }
        // The first reason is the one that is counted.
        let both = Sample { correct: Some(false), n_tokens: 0, ..cut };
        check(&filters, &both, Some(Reason::NotCorrect));
    }

    #[test]
    fn formats_and_summaries() {
        let format = Filters { format: true, ..Filters::default() };
        let summary = Filters { summary: true, ..Filters::default() };
        let strict = "<think>a</think> <answer>b</answer>";
        check(&format, &sample("q", strict), None);
        check(&format, &sample("q", "<think>a</think> b"), Some(Reason::NoFormat));
        check(&summary, &sample("q", "<think>a</think> b"), None);
        check(&summary, &sample("q", "<think>a</think>"), Some(Reason::NoSummary));
        let prefilled = Sample { prompt: "Assistant: <think>\n".to_owned(), ..sample("q", &strict[7..]) };
        check(&format, &prefilled, None);
        check(&summary, &prefilled, None);
        check(&summary, &sample("q", &strict[7..]), Some(Reason::NoSummary));
        let token = Screen::new(format, Layout::SpecialToken("|s|".to_owned()), None, None).unwrap();
        assert_eq!(token.reject(&sample("q", "|s|a|s|b")), None);
        assert_eq!(token.reject(&sample("q", strict)), Some(Rejection::plain(Reason::NoFormat)));
    }

    #[test]
    fn what_is_rewritten_can_be() {
        let token = Layout::SpecialToken("|s|".to_owned());
        let screen = Screen::new(Filters::default(), Layout::ThinkAnswer, Some(token), None).unwrap();
        let fine = Sample { prompt: "Assistant: <think>\n".to_owned(), ..sample("q", "a</think> <answer>b</answer>") };
        assert_eq!(screen.reject(&fine), None);
        let written = screen.written(fine);
        assert_eq!((&*written.prompt, &*written.completion, written.n_tokens), ("Assistant: ", "|s|a|s|b", 0));
        assert_eq!(screen.reject(&sample("q", "a")).map(|found| found.reason), Some(Reason::NoFormat));
        let as_it_is = Screen::new(Filters::default(), Layout::ThinkAnswer, None, None).unwrap();
        assert_eq!(as_it_is.written(sample("q", "a")), sample("q", "a"));
    }

    #[test]
    fn languages() {
        let filters = Filters { min_language: Some(0.9), ..Filters::default() };
        let english = "<think>Let us see what the sum of the two is.</think> It is the same.";
        let mixed = "<think>Let us see 我们先算一下这个式子的值是多少 what it is.</think> It is the same.";
        let mixed_summary = "<think>Let us see what the sum of it is.</think> 我们先算一下这个式子的值是多少";
        check(&filters, &in_language("en", english), None);
        check(&filters, &in_language("en", mixed), Some(Reason::MixedLanguage));
        check(&filters, &in_language("en", mixed_summary), Some(Reason::MixedLanguage));
        check(&filters, &in_language("zh", english), Some(Reason::MixedLanguage));
        check(&filters, &in_language("en", "<think>3 + 5 = 8</think> 8"), None);
        check(&filters, &sample("q", english), Some(Reason::MixedLanguage));
        let english_rows = Filters { language: Some("en".to_owned()), ..filters };
        check(&english_rows, &sample("q", english), None);
        check(&english_rows, &in_language("zh", english), Some(Reason::MixedLanguage));
        assert!(
            Screen::new(
                Filters { language: Some("xx".to_owned()), ..Filters::default() },
                Layout::ThinkAnswer,
                None,
                None
            )
            .is_err()
        );
    }

    #[test]
    fn readable_text() {
        let loops = Filters { max_loop: Some(2), ..Filters::default() };
        check(&loops, &sample("q", "wait wait now"), None);
        check(&loops, &sample("q", "wait wait wait now"), Some(Reason::Repetition));
        let share = Filters { max_repeated_fraction: Some(0.3), repeated_ngram_size: 2, ..Filters::default() };
        check(&share, &sample("q", "a b c d e f"), None);
        check(&share, &sample("q", "a b x a b y a b"), None);
        check(&share, &sample("q", "a b a b a b a"), Some(Reason::Repetition));
        let words = Filters { max_paragraph_words: Some(3), ..Filters::default() };
        check(&words, &sample("q", "a b c\n\nd e f"), None);
        check(&words, &sample("q", "a b c\nd e f"), Some(Reason::LongParagraph));
        let letters = Filters { max_paragraph_letters: Some(3), ..Filters::default() };
        check(&letters, &sample("q", "a b c"), None);
        check(&letters, &sample("q", "abcd"), Some(Reason::LongParagraph));
        let code = Filters { code_blocks: false, ..Filters::default() };
        check(&code, &sample("q", "so\n```\nx\n```"), Some(Reason::CodeBlock));
        check(&Filters::default(), &sample("q", "so\n```\nx\n```"), None);
    }

    #[test]
    fn evaluations() {
        let row = EvaluationRow {
            place: "eval.jsonl:1".to_owned(),
            question: "What is 2 + 2?".to_owned(),
            solution: String::new(),
        };
        let index = Contamination::new(DecontaminationOptions::default(), &[vec![row]]);
        let screen = Screen::new(Filters::default(), Layout::ThinkAnswer, None, Some(index)).unwrap();
        let found = screen.reject(&sample("what is 2 + 2", "4"));
        assert_eq!(found, Some(Rejection::new(Reason::Contaminated, "eval.jsonl:1: what is 2 2")));
        assert_eq!(screen.reject(&sample("what is 2 + 3", "5")), None);
    }
}
