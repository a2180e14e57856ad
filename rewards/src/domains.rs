//! A rule that judges only problems of some domains.

use crate::{CompletionView, GoldError, JudgedGroup, Problem, RewardFn, Verdict};

/// The field of a data row that says where a problem belongs.
const FIELD: &str = "domain";

/// A rule for the problems whose field `domain` is in a list. It says nothing about any other, and asks nothing of it.
///
/// R1's last stage mixes prompts like that: rules judge reasoning, a preference model judges general ones (DeepSeek-R1,
/// arXiv 2501.12948 v2, section 3.2.2).
///
/// Its name and the `rule` of a verdict are those of the rule inside; besides, `other_domain` (not applicable).
pub struct InDomains {
    inner: Box<dyn RewardFn>,
    domains: Vec<String>,
}

impl InDomains {
    /// `inner`, for problems of `domains`.
    pub fn new(inner: Box<dyn RewardFn>, domains: Vec<String>) -> Self {
        Self { inner, domains }
    }

    fn covers(&self, problem: &Problem) -> bool {
        problem.domain().is_some_and(|domain| self.domains.iter().any(|listed| listed == domain))
    }

    fn nothing(&self, problem: &Problem) -> Verdict {
        let domain = problem.domain().map_or_else(|| "has no domain".to_owned(), |domain| format!("is of {domain:?}"));
        Verdict::not_applicable("other_domain", format!("the problem {domain}, judged are {}", self.domains.join(", ")))
    }

    fn nothing_each(&self, problem: &Problem, n_completions: usize) -> Vec<Verdict> {
        vec![self.nothing(problem); n_completions]
    }
}

impl Problem {
    /// Where the problem belongs, from the field `domain` of its row; `None` where it has none that is a text.
    pub fn domain(&self) -> Option<&str> {
        self.gold.fields.get(FIELD)?.as_str()
    }
}

impl RewardFn for InDomains {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        if let Some(other) = problem.gold.fields.get(FIELD).filter(|value| !value.is_null() && !value.is_string()) {
            let reason = format!("it is {other}: it must be a text, such as \"math\"");
            return Err(GoldError::Invalid { reward: self.name().to_owned(), field: FIELD, reason });
        }
        if self.covers(problem) { self.inner.check_gold(problem) } else { Ok(()) }
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        if self.covers(problem) { self.inner.judge(problem, completion) } else { self.nothing(problem) }
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        if self.covers(problem) {
            self.inner.judge_group(problem, completions)
        } else {
            self.nothing_each(problem, completions.len())
        }
    }

    fn compares_groups(&self) -> bool {
        self.inner.compares_groups()
    }

    fn judge_batch(&self, groups: &[JudgedGroup<'_>]) -> Vec<Vec<Verdict>> {
        let covered: Vec<JudgedGroup<'_>> =
            groups.iter().filter(|(problem, _)| self.covers(problem)).copied().collect();
        // A rule with workers of its own is not woken for nothing.
        let judged = if covered.is_empty() { Vec::new() } else { self.inner.judge_batch(&covered) };
        let mut judged = judged.into_iter();
        let verdicts = groups.iter().map(|(problem, completions)| {
            if self.covers(problem) {
                judged.next().unwrap_or_default()
            } else {
                self.nothing_each(problem, completions.len())
            }
        });
        verdicts.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Exact, Gold, Rubric, Weighted};

    /// Scores a completion with the number of completions of the batch, and keeps the questions it was asked about.
    struct Spy {
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl RewardFn for Spy {
        fn name(&self) -> &str {
            "spy"
        }

        fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
            Err(GoldError::Missing { reward: problem.question.clone(), field: "gold" })
        }

        fn judge(&self, problem: &Problem, _: &CompletionView<'_>) -> Verdict {
            self.asked.lock().unwrap().push(problem.question.clone());
            Verdict::scored(1.0, "one", "one")
        }

        fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
            self.asked.lock().unwrap().push(problem.question.clone());
            vec![Verdict::scored(completions.len() as f32, "group", "group"); completions.len()]
        }

        fn compares_groups(&self) -> bool {
            true
        }

        fn judge_batch(&self, groups: &[JudgedGroup<'_>]) -> Vec<Vec<Verdict>> {
            self.asked.lock().unwrap().extend(groups.iter().map(|(problem, _)| problem.question.clone()));
            let score = groups.len() as f32 * 10.0;
            let one = |(problem, completions): &JudgedGroup<'_>| {
                let text = |view: &CompletionView<'_>| format!("{} {}", problem.question, view.text);
                completions.iter().map(|view| Verdict::scored(score, "batch", text(view))).collect()
            };
            groups.iter().map(one).collect()
        }
    }

    fn problem(question: &str, domain: Option<serde_json::Value>) -> Problem {
        let mut gold = Gold::default();
        gold.fields.extend(domain.map(|domain| (FIELD.to_owned(), domain)));
        Problem { id: String::new(), question: question.to_owned(), gold }
    }

    fn spied() -> (InDomains, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let spy = Spy { asked: asked.clone() };
        (InDomains::new(Box::new(spy), vec!["helpful".to_owned(), "harmless".to_owned()]), asked)
    }

    #[test]
    fn other_domains_are_not_judged_and_not_asked_for_gold() {
        let (rule, asked) = spied();
        let view = CompletionView::new("x", 1, false);
        let check = |domain: Option<&str>, judged: bool| {
            let problem = problem("q", domain.map(Into::into));
            assert_eq!(rule.check_gold(&problem).is_err(), judged, "{domain:?}");
            let rules = |verdicts: Vec<Verdict>| verdicts.into_iter().map(|v| v.rule).collect::<Vec<_>>();
            let of = |name: &'static str| if judged { name } else { "other_domain" };
            assert_eq!(rule.judge(&problem, &view).rule, of("one"), "{domain:?}");
            assert_eq!(rules(rule.judge_group(&problem, &[view, view])), [of("group"); 2], "{domain:?}");
            assert_eq!(rule.judge(&problem, &view).score.is_some(), judged, "{domain:?}");
        };
        check(Some("helpful"), true);
        check(Some("harmless"), true);
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()).len(), 6);
        check(Some("math"), false);
        check(Some("Helpful"), false);
        check(None, false);
        assert!(asked.lock().unwrap().is_empty());
        assert!(rule.compares_groups());
        let verdict = rule.judge(&problem("q", Some("math".into())), &view);
        assert_eq!(verdict.reason, "the problem is of \"math\", judged are helpful, harmless");
    }

    #[test]
    fn a_batch_keeps_its_order_and_hands_on_only_what_applies() {
        let (rule, asked) = spied();
        let domains = ["math", "helpful", "code", "harmless", "helpful"];
        let problems: Vec<Problem> =
            domains.iter().enumerate().map(|(i, d)| problem(&format!("q{i}"), Some((*d).into()))).collect();
        let views = ["a", "b", "c"].map(|text| CompletionView::new(text, 1, false));
        let groups: Vec<JudgedGroup<'_>> =
            problems.iter().enumerate().map(|(i, problem)| (problem, &views[..1 + i % 3])).collect();
        let verdicts = rule.judge_batch(&groups);
        assert_eq!(*asked.lock().unwrap(), ["q1", "q3", "q4"]);
        let said: Vec<Vec<String>> = verdicts
            .iter()
            .map(|group| group.iter().map(|v| format!("{:?} {}", v.score, v.reason)).collect())
            .collect();
        let nothing = |domain: &str| format!("None the problem is of {domain:?}, judged are helpful, harmless");
        assert_eq!(said[0], [nothing("math")]);
        assert_eq!(said[1], ["Some(30.0) q1 a", "Some(30.0) q1 b"]);
        assert_eq!(said[2], vec![nothing("code"); 3]);
        assert_eq!(said[3], ["Some(30.0) q3 a"]);
        assert_eq!(said[4], ["Some(30.0) q4 a", "Some(30.0) q4 b"]);

        asked.lock().unwrap().clear();
        assert_eq!(rule.judge_batch(&groups[..1])[0][0].rule, "other_domain");
        assert!(asked.lock().unwrap().is_empty());
    }

    #[test]
    fn what_does_not_apply_leaves_the_sum() {
        let exact = InDomains::new(Box::new(Exact::default()), vec!["math".to_owned()]);
        let (rule, _) = spied();
        let rubric = Rubric::new(vec![
            Weighted::new("exact", 1.0, Box::new(exact)),
            Weighted::new("general", 0.5, Box::new(rule)),
        ])
        .unwrap();
        let mut math = problem("q", Some("math".into()));
        math.gold.text = Some("4".to_owned());
        let rewards = |problem: &Problem| {
            assert_eq!(rubric.check_gold(problem).is_ok(), problem.domain() != Some("helpful"));
            let view = CompletionView::new("\\boxed{4}", 4, false);
            rubric.judge_group(problem, &[view]).pop().unwrap().reward
        };
        assert_eq!(rewards(&math), Some(1.0));
        assert_eq!(rewards(&problem("q", Some("helpful".into()))), Some(5.0));
        assert_eq!(rewards(&problem("q", None)), None);
    }

    #[test]
    fn a_domain_is_a_text() {
        let (rule, _) = spied();
        let message = |domain: serde_json::Value| rule.check_gold(&problem("q", Some(domain))).unwrap_err().to_string();
        let expected = "reward `spy` cannot use the field `domain`: it is 3: it must be a text, such as \"math\"";
        assert_eq!(message(3.into()), expected);
        assert!(rule.check_gold(&problem("q", Some(serde_json::Value::Null))).is_ok());
    }
}
