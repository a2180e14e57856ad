//! The code reward on real programs: tests of both kinds, and their limits.

mod support;

use std::sync::OnceLock;

use rewards::{CompletionView, Problem, RewardFn, Verdict};
use sandbox::{Code, CodeOptions, Limits, Scoring};
use serde_json::json;

fn options() -> CodeOptions {
    let limits = Limits { cpu_seconds: 1, wall_seconds: 3.0, memory_mb: 256, ..Limits::default() };
    CodeOptions { limits, ..CodeOptions::default() }
}

/// None where this machine cannot run programs; the refusal has been looked at then.
fn code() -> Option<&'static Code> {
    static CODE: OnceLock<Option<Code>> = OnceLock::new();
    CODE.get_or_init(|| support::unless_refused(Code::new(options()))).as_ref()
}

fn problem(tests: &serde_json::Value) -> Problem {
    serde_json::from_value(json!({"question": "q", "tests": tests})).unwrap()
}

fn judge(program: &str, tests: &serde_json::Value) -> Option<Verdict> {
    let text = format!("So:\n```python\n{program}\n```\n");
    Some(code()?.judge(&problem(tests), &CompletionView::new(&text, 10, false)))
}

/// `program` gets `score` by `rule` on `tests`.
fn check(program: &str, tests: &serde_json::Value, score: f32, rule: &str) {
    let Some(verdict) = judge(program, tests) else { return };
    assert_eq!((verdict.score, &*verdict.rule), (Some(score), rule), "{program}\n{tests}\n{}", verdict.reason);
}

#[test]
fn programs_that_read_and_print() {
    let double = json!([{"stdin": "2\n", "stdout": "4\n"}, {"input": "5", "output": "10"}]);
    for (program, score, rule) in [
        ("print(int(input()) * 2)", 1.0, "passed"),
        ("import sys\nfor line in sys.stdin: print(int(line) * 2, ' ')", 1.0, "passed"),
        ("print(4)", 0.5, "wrong_output"),
        ("n = int(input())\nassert n == 2\nprint(4)", 0.5, "error"),
        ("print(1", 0.0, "error"),
        ("import sys\nprint(int(input()) * 2)\nsys.exit(3)", 0.0, "error"),
        ("pass", 0.0, "wrong_output"),
        ("if __name__ == '__main__': print(int(input()) * 2)", 1.0, "passed"),
        ("import numpy_is_not_here", 0.0, "error"),
    ] {
        check(program, &double, score, rule);
    }
    // open-r1 passed the beginning of the right output.
    check("print(1)", &json!([{"stdout": "1\n2\n3"}]), 0.0, "wrong_output");
    check("print('x' * 100)\nprint(2)", &json!([{"stdout": "x"}]), 0.0, "wrong_output");
    // Input that is never read must not hold the run up.
    check("print(1)", &json!([{"stdin": "x".repeat(1_000_000), "stdout": "1"}]), 1.0, "passed");
    check("print(len(input()))", &json!([{"stdin": "x".repeat(1_000_000), "stdout": "1000000"}]), 1.0, "passed");
}

#[test]
fn programs_that_return_data() {
    for (program, tests, score, rule) in [
        ("def f(x): return x * 2", json!(["assert f(2) == 4", {"assert": "assert f(3) == 6"}]), 1.0, "passed"),
        ("def f(x): return 4", json!(["assert f(2) == 4", "assert f(3) == 6"]), 0.5, "assertion"),
        ("def f(x): return x / 0", json!(["assert f(2) == 4"]), 0.0, "error"),
        ("def f(x) return", json!(["assert f(2) == 4"]), 0.0, "load_error"),
        ("g = 1", json!(["assert f(2) == 4"]), 0.0, "error"),
        (
            "def f(n): return list(range(n))",
            json!(["assert f(3) == [0, 1, 2]", "assert len(f(9)) == 9"]),
            1.0,
            "passed",
        ),
        (
            "def f(n): yield from range(n)",
            json!(["assert list(f(3)) == [0, 1, 2]", "assert sum(f(4)) == 6"]),
            1.0,
            "passed",
        ),
        ("def f(l): l.sort()", json!(["l = [3, 1]\nf(l)\nassert l == [1, 3]"]), 1.0, "passed"),
        (
            "def f(g, x): return g(g(x))",
            json!(["assert f(lambda v: v + 1, 1) == 3", "assert f(abs, -2) == 2"]),
            1.0,
            "passed",
        ),
        (
            "def f(a): return {1: (a, 'x'), 'k': {2.5, None}}",
            json!(["assert f(True) == {1: (True, 'x'), 'k': {2.5, None}}"]),
            1.0,
            "passed",
        ),
        (
            "def f(): return 2 ** 4000",
            json!(["assert f() == 1 << 4000", "assert str(f())[:3] == str(1 << 4000)[:3]"]),
            1.0,
            "passed",
        ),
        ("def f(): return float('inf'), 1j, b'x'", json!(["assert f() == (float('inf'), 1j, b'x')"]), 1.0, "passed"),
    ] {
        check(program, &tests, score, rule);
    }
}

#[test]
fn programs_that_return_what_is_data_at_heart() {
    for (program, tests, score, rule) in [
        (
            "from collections import namedtuple, Counter, deque\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)\ndef g(s): return Counter(s)\ndef h(): return deque([1, 2])",
            json!([
                "assert f() == (1, 2) and f().x == 1",
                "assert g('aab') == {'a': 2, 'b': 1}",
                "assert list(h()) == [1, 2]"
            ]),
            1.0,
            "passed",
        ),
        (
            "from fractions import Fraction\nfrom decimal import Decimal\nimport datetime\ndef f(): return Fraction(1, 3), Decimal('1.10'), datetime.date(2024, 2, 29)",
            json!([
                "import datetime\nfrom fractions import Fraction\nassert f()[0] == Fraction(1, 3) and str(f()[1]) == '1.10' and f()[2] == datetime.date(2024, 2, 29)"
            ]),
            1.0,
            "passed",
        ),
    ] {
        check(program, &tests, score, rule);
    }
}

#[test]
fn programs_that_define_classes_and_raise_errors() {
    for (program, tests, score, rule) in [
        (
            "class Stack:\n    def __init__(self): self.items = []\n    def push(self, v): self.items.append(v)\n    def pop(self): return self.items.pop()\n    def __len__(self): return len(self.items)",
            json!([
                "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2 and len(s) == 1 and s.items == [1]",
                "assert isinstance(Stack(), Stack)"
            ]),
            1.0,
            "passed",
        ),
        (
            "class V:\n    def __init__(s, x): s.x = x\n    def __add__(s, o): return V(s.x + o.x)\n    def __eq__(s, o): return s.x == o.x",
            json!(["assert V(1) + V(2) == V(3)", "assert (V(1) + V(2)).x == 3"]),
            1.0,
            "passed",
        ),
        (
            "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
            json!([
                "try:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert 'negative' in str(error)"
            ]),
            1.0,
            "passed",
        ),
    ] {
        check(program, &tests, score, rule);
    }
}

#[test]
fn tests_that_are_more_than_one_assert() {
    for (program, tests, score, rule) in [
        (
            "import math\ndef f(x): return x ** 0.5",
            json!(["assert math.isclose(f(2), 1.4142135, rel_tol=1e-6)"]),
            1.0,
            "passed",
        ),
        (
            "def add(a, b): return a + b",
            json!([
                "METADATA = {}\ndef check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\ncheck(add)"
            ]),
            1.0,
            "passed",
        ),
        ("def add(a, b): return a + b", json!(["from solution import add\nassert add(1, 2) == 3"]), 1.0, "passed"),
        ("def sum(a, b): return a + b", json!(["assert sum(1, 2) == 3"]), 1.0, "passed"),
        (
            "def copy(a): return list(a)",
            json!(["assert copy([1]) == [1]", "assert abs(len(copy([1]))) == 1"]),
            1.0,
            "passed",
        ),
        (
            "import math as m\nfrom math import isclose\ndef f(x): return x / 3",
            json!(["assert isclose(f(1), 0.333333333333) and m.pi > 3"]),
            1.0,
            "passed",
        ),
        (
            "def walk(node): return [] if node is None else [node.value] + walk(node.next)",
            json!([
                "class Node:\n    def __init__(self, value, next=None): self.value, self.next = value, next\nassert walk(Node(1, Node(2))) == [1, 2]"
            ]),
            1.0,
            "passed",
        ),
        ("x = 5\nprint('noise')", json!(["assert x == 5"]), 1.0, "passed"),
    ] {
        check(program, &tests, score, rule);
    }
}

/// Functions, classes and objects of a test, of Python and of its library are the program's to use.
#[test]
fn tests_that_hand_something_over() {
    for (test, program) in [
        ("import statistics\nassert f(statistics.mean, [1, 3]) == 2", "def f(g, x): return g(x)"),
        (
            "from collections import deque\nassert f(deque, [1, 3]) == [3, 1]",
            "def f(d, x): d = d(); d.extendleft(x); return d",
        ),
        ("from fractions import Fraction\nassert f(Fraction, 6) == Fraction(1, 6)", "def f(g, x): return g(1, x)"),
        ("from functools import partial\nassert f(partial(max, 3), 9) == 9", "def f(g, x): return g(x)"),
        ("from functools import partial\nassert f(partial(lambda a, b: a - b, 9), 4) == 5", "def f(g, x): return g(x)"),
        ("from operator import itemgetter\nassert f(itemgetter(1), [4, 5]) == 5", "def f(g, x): return g(x)"),
        ("assert f({1: 2}.get, 1) == 2 and f('a-b'.split, '-') == ['a', 'b']", "def f(g, x): return g(x)"),
        ("assert f(int, '7') == 7 and f(sorted, [2, 1]) == [1, 2]", "def f(g, x): return g(x)"),
        ("assert f(range(3), 1) == [0, 1, 2, 1, 3]", "def f(r, x): return list(r) + [r[x], len(r)]"),
        ("assert f((n for n in range(3)), 0) == [0, 1, 2]", "def f(g, x): return list(g)"),
        (
            "from enum import Enum\nclass C(Enum):\n    RED = 1\nassert f(C, 1) is C.RED and f(C, 1).name == 'RED'",
            "def f(g, x): return g(x)",
        ),
        (
            "class N:\n    step = 2\n    def __call__(s, x): return s.up(x)\n    def up(s, x): return x + s.step\n\
             n = N()\nassert f(n, 1) == 6 and n.step == 3",
            "def f(n, x):\n    x = n(x)\n    n.step += 1\n    return n.up(x)",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 0\nassert f(P, 3) == P(3)",
            "def f(g, x): return g(x)",
        ),
    ] {
        check(program, &json!([test]), 1.0, "passed");
    }
}

#[test]
fn a_test_in_which_the_program_ends_does_not_take_the_others_with_it() {
    let tests = json!(["assert f(0) == 0", "assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3"]);
    check("import os\ndef f(x):\n    if x == 1: os._exit(0)\n    return x", &tests, 0.75, "error");
    check("def f(x):\n    while x == 2: pass\n    return x", &tests, 0.75, "error");
    check("import time\ndef f(x):\n    if x == 0: time.sleep(99)\n    return x", &tests, 0.75, "time_limit");
}

#[test]
fn a_batch_is_judged_in_order_whatever_its_width() {
    let Some(fraction) = code() else { return };
    let all = Code::new(CodeOptions { scoring: Scoring::All, workers: 3, ..options() }).unwrap();
    let problems = [
        problem(&json!(["assert f(1) == 1", "assert f(2) == 2"])),
        problem(&json!(7)),
        problem(&json!([{"stdout": "1"}])),
    ];
    let texts = [
        "```python\ndef f(x): return x\n```",
        "```python\ndef f(x): return 1\n```",
        "none",
        "```python\nprint(1)\n```",
    ];
    let views: Vec<CompletionView<'_>> = texts.iter().map(|text| CompletionView::new(text, 1, false)).collect();
    let groups: Vec<(&Problem, &[CompletionView<'_>])> = problems.iter().map(|problem| (problem, &views[..])).collect();
    let scores = |code: &Code| -> Vec<Vec<Option<f32>>> {
        code.judge_batch(&groups).iter().map(|group| group.iter().map(|verdict| verdict.score).collect()).collect()
    };
    let (no, yes, none) = (Some(0.0), Some(1.0), None);
    assert_eq!(scores(&all), [[yes, no, no, no], [none; 4], [no, no, no, yes]]);
    assert_eq!(scores(fraction)[0], [yes, Some(0.5), no, no]);
    let once = all.judge_batch(&groups);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(all.judge_batch(&groups), once));
        }
    });
    assert!(all.check_gold(&problems[1]).is_err());
    let verdict = all.judge(&problem(&json!(["assert f( == 1"])), &views[0]);
    assert_eq!((verdict.score, &*verdict.rule), (None, "gold"), "a test that is no program judges nobody");
}

/// An interpreter of one's own, with a package of one's own: both are seen, and nothing else of the folder around them.
#[test]
fn a_virtual_environment_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let venv = folder.path().join("venv");
    let made = std::process::Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&venv).output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("this Python cannot make virtual environments");
        return;
    }
    let packages = std::fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path().join("site-packages");
    std::fs::write(packages.join("own_package.py"), "answer = 42").unwrap();
    std::fs::write(folder.path().join("beside"), "x").unwrap();
    let made = Code::new(CodeOptions { interpreter: Some(venv.join("bin/python")), ..options() });
    let Some(code) = support::unless_refused(made) else { return };
    let program = "import os, own_package, subprocess, sys\nprint(own_package.answer)\n\
        print(os.listdir(os.path.dirname(sys.prefix)))\nprint(subprocess.check_output([sys.executable, '-c', 'print(7)']))";
    let text = format!("```python\n{program}\n```");
    let wanted = problem(&json!([{"stdout": "42\n['venv']\nb'7\\n'"}]));
    let verdict = code.judge(&wanted, &CompletionView::new(&text, 1, false));
    assert_eq!(verdict.score, Some(1.0), "{}", verdict.reason);
}

#[test]
fn options_are_read_strictly() {
    let options: CodeOptions =
        serde_json::from_str(r#"{"scoring": "all", "fence": "marked", "limits": {"cpu_seconds": 2}}"#).unwrap();
    assert_eq!((options.scoring, options.limits.cpu_seconds, options.workers), (Scoring::All, 2, 2));
    assert!(serde_json::from_str::<CodeOptions>(r#"{"worker": 2}"#).is_err());
    for (options, words) in [
        (CodeOptions { workers: 0, ..CodeOptions::default() }, "workers is 0"),
        (CodeOptions { total_seconds: f64::NAN, ..CodeOptions::default() }, "total_seconds is NaN"),
        (CodeOptions { interpreter: Some("/no/python".into()), ..CodeOptions::default() }, "install Python 3.8"),
        (CodeOptions { interpreter: Some("/bin/true".into()), ..CodeOptions::default() }, "`/bin/true` cannot be used"),
        (CodeOptions { read_only: vec!["/no/folder".into()], ..CodeOptions::default() }, "cannot be read"),
        (
            CodeOptions { limits: Limits { processes: 1, ..Limits::default() }, ..CodeOptions::default() },
            "processes is 1",
        ),
    ] {
        let message = Code::new(options).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}
