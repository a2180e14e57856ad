//! Programs that want to pass assert tests without the answer: none does.

mod support;

use rewards::{CompletionView, Problem, RewardFn};
use sandbox::{Code, CodeOptions, Limits};
use serde_json::json;

/// The scores of `programs` on `test`; none where this machine runs no programs.
fn scores(test: &str, programs: &[&str]) -> Option<Vec<f32>> {
    let limits = Limits { cpu_seconds: 1, wall_seconds: 3.0, memory_mb: 256, ..Limits::default() };
    let made = Code::new(CodeOptions { limits, ..CodeOptions::default() });
    let code = support::unless_refused(made)?;
    let problem: Problem = serde_json::from_value(json!({"question": "q", "tests": [test]})).unwrap();
    let texts: Vec<String> = programs.iter().map(|program| format!("So:\n```python\n{program}\n```\n")).collect();
    let views: Vec<CompletionView<'_>> = texts.iter().map(|text| CompletionView::new(text, 10, false)).collect();
    let verdicts = code.judge_group(&problem, &views);
    assert_eq!(code.failure(), None);
    Some(verdicts.iter().map(|verdict| verdict.score.unwrap_or_else(|| panic!("{test}: {}", verdict.reason))).collect())
}

/// Each of `programs` scores 0 on `test`.
fn check(test: &str, programs: &[&str]) {
    let Some(scores) = scores(test, programs) else { return };
    let passed: Vec<&str> = programs.iter().zip(scores).filter(|(_, score)| *score != 0.0).map(|(p, _)| *p).collect();
    assert!(passed.is_empty(), "{test}\nis passed by\n{}", passed.join("\n---\n"));
}

/// Likewise, with programs that know the line to the judge.
fn check_on_the_line(test: &str, attacks: &[&str]) {
    let programs: Vec<String> = attacks.iter().map(|attack| on_the_line(attack)).collect();
    check(test, &programs.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Equals everything, is in everything, and is near to everything.
const ALWAYS: &str = "class A:\n    def __eq__(s, o): return True\n    def __sub__(s, o): return 0\n    def __rsub__(s, o): return 0\n    \
    def __lt__(s, o): return True\n    def __abs__(s): return s\n    def __contains__(s, o): return True\n    \
    def __hash__(s): return 4\n    __gt__ = __le__ = __ge__ = __lt__\n    def __iter__(s): return iter([s])\ndef f(x): return A()";

#[test]
fn objects_that_equal_everything() {
    let derived =
        "class A(int):\n    def __eq__(s, o): return True\n    def __hash__(s): return 1\ndef f(x): return A(5)";
    for test in [
        "assert f(2) == 4",
        "assert 4 == f(2)",
        "assert not f(2) != 4",
        "assert f(2) in [3, 4]",
        "assert 3 in f(2)",
        "assert {f(2)} == {4}",
        "assert [f(2)] == [4]",
        "assert abs(f(2) - 1.41421) < 1e-4",
        "assert list(f(2)) == [4]",
        "class P:\n    def __init__(s, x): s.x = x\n    def __eq__(s, o): return s.x == o.x\nassert P(f(2)) == P(4)",
    ] {
        check(test, &[ALWAYS, derived]);
    }
    // One that is 9 at first and 0 afterwards.
    let fickle = "import harness_line\nclass A(float): pass\nvalues = [9.0, 0.0]\n\
        harness_line.SERVICES['plain'] = lambda target: values.pop(0)\ndef f(x): return A()";
    check("assert 3 < f(2) < 5", &[fickle]);
}

#[test]
fn ends_that_come_early() {
    check(
        "assert f(2) == 4",
        &[
            "import sys\nsys.exit(0)",
            "import os\nos._exit(0)",
            "raise SystemExit(0)\ndef f(x): return 4",
            "def f(x):\n    import sys\n    sys.exit(0)",
            "def f(x):\n    raise SystemExit",
            "def f(x):\n    import os, signal\n    os.kill(os.getppid(), signal.SIGINT)\n    import time; time.sleep(1)",
            "def f(x):\n    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)",
        ],
    );
    // It would end the loop, and with it the checks.
    check("assert all(map(lambda x: f(x) == 2 * x, range(9)))", &["def f(x): raise StopIteration"]);
    check("for x in filter(lambda x: f(x) != 2 * x, range(9)): assert False", &["def f(x): raise StopIteration"]);
}

#[test]
fn names_that_tests_compare_by() {
    check(
        "assert f(2) == 4",
        &[
            "import builtins\nbuiltins.AssertionError = type(None)\ndef f(x): return 5",
            "def f(x): return 5\ndef __eq__(a, b): return True",
            "import sys, types\nsys.modules['tests'] = sys.modules['ast'] = types.ModuleType('x')\ndef f(x): return 5",
            "open('/scratch/harness.py', 'a').write('x')\ndef f(x): return 5",
            "open('/scratch/math.py', 'w').write('x')\ndef f(x): return 5",
        ],
    );
    let own_abs = "def abs(x): return 0\ndef f(x): return 5.0";
    let negative = "abs = lambda x: -1\ndef f(x): return 5.0";
    for test in [
        "assert abs(f(2) - 1.41421) < 1e-4",
        "import solution\nassert abs(solution.f(2) - 1.41421) < 1e-4",
        "from solution import f as g\nassert abs(g(2) - 1.41421) < 1e-4",
        "from solution import *\nassert abs(f(2) - 1.41421) < 1e-4",
    ] {
        check(test, &[own_abs, negative]);
    }
    for test in ["assert math.isclose(f(2), 1.4)", "assert isclose(f(2), 1.4)", "assert np.allclose(f(2), 1.4)"] {
        check(
            test,
            &[
                "class math:\n    isclose = allclose = lambda *a: True\nnp = math\nisclose = math.isclose\ndef f(x): return 5",
                "import os as math, os as np\ndef f(x): return 5",
            ],
        );
    }
    check("assert abs(sum(1, 2) - 3) < 1", &["def abs(x): return 0\ndef sum(a, b): return 5"]);
}

#[test]
fn the_channel_of_the_results() {
    let under_every_number = "import os\nfor d in range(64):\n    try: os.write(d, b'{\"loaded\": true}\\n\
        {\"test\": 0, \"passed\": true, \"why\": \"\", \"gone\": false}\\n')\n    except OSError: pass\nos._exit(0)";
    let printed = "print('{\"loaded\": true}')\nprint('{\"test\": 0, \"passed\": true, \"why\": \"\", \"gone\": false}', flush=True)";
    // The line to the judge: more answers than questions, and none of them 4.
    let in_advance = "import sys\nf = lambda x: 5\nfor d in range(3, 20):\n    try:\n        import os\n        \
        os.write(d, b'[\"ready\", {\"f\": [\"builtin\", \"type\"]}]\\n')\n    except OSError: pass";
    let frames = "def f(x):\n    import sys\n    frame = sys._getframe()\n    \
        while frame: frame.f_globals.update(tests=[]); frame = frame.f_back\n    return 5";
    let objects = "import gc\ndef f(x): return next((o for o in gc.get_objects() if o == 4), 5) and 5";
    check("assert f(2) == 4", &[under_every_number, printed, in_advance, frames, objects]);
}

/// Finds the program's end of the line, and goes on with `attack`, in which `ask` has the judge do something.
fn on_the_line(attack: &str) -> String {
    format!(
        "import sys, os\nfrom harness_line import Peer, Remote\nimport harness_line\ndef ask(*words): return PEER.ask(*words)\n\
         frame = sys._getframe()\nwhile frame:\n    for value in list(frame.f_locals.values()):\n        \
         if type(value) is Peer: PEER = value\n    frame = frame.f_back\n\
         class Raw:\n    def __init__(self, value): self.value = value\nencode = Peer.encode\n\
         Peer.encode = lambda peer, value: value.value if type(value) is Raw else encode(peer, value)\n\
         BODY = {{'__eq__': lambda *a: True, '__hash__': lambda s: 4, '__module__': 'tests'}}\n{attack}\n"
    )
}

/// What a program may ask of the judge while the judge waits for it: nothing that makes a new type there.
#[test]
fn questions_to_the_judge() {
    let attacks = [
        "def f(x): return ask('call', ask('call', type, ('E', (), BODY), {}), (), {})",
        "def f(x): return ask('call', Raw(['builtin', 'type']), ('E', (int,), BODY), {})",
        "def f(x): return ask('call', ask('getitem', type, 0), ('E', (), BODY), {})",
        "def f(x): return ask('call', ask('getitem', list, 0), ('E', (), BODY), {})",
        "def f(x): return ask('next', ask('iter', type, 0))",
        "def f(x): return ask('call', Raw(['function', 'builtins', 'exec']), ('import os; os._exit(0)',), {})",
        "def f(x): return ask('call', Raw(['library', 'builtins', 'eval']), ('4',), {})",
        "def f(x): return ask('call', property, (lambda *a: True,), {})",
        "def f(x): return ask('call', Raw(['builtin', 'object']), (), {})",
        "def f(x): return ask('binary', 'eq', 1, 1)",
        "def f(x): return ask('plain', Raw(['yours', 1]))",
        "def f(x): return ask('getattr', Raw(['builtin', 'int']), 'mro')",
        "def f(x): return Raw(['builtin', 'type'])",
        "def f(x): return Raw(['yours', 1])",
        "def f(x): return Raw(['complex', 'x'])",
        "def f(x): return Raw({'a': ['yours', 1]})",
    ];
    for test in ["assert f(2) == 123456", "def g(a): return a\nassert f(g) == 123456"] {
        check_on_the_line(test, &attacks);
    }
    // The means of these attacks work: by them a program does what it may do.
    let allowed = on_the_line("def f(g): return ask('call', g, (123455,), {})");
    if let Some(scores) = scores("def g(a): return a + 1\nassert f(g) == 123456", &[&allowed]) {
        assert_eq!(scores, [1.0]);
    }
}

/// What a program may do with the functions and objects that a test hands it.
#[test]
fn objects_of_the_tests() {
    // By a function that calls what it is handed, and by a class that makes classes.
    check_on_the_line(
        "assert f(lambda g, *a: g(*a)) == 123456",
        &[
            "def f(g): return g(g(type, 'E', (), BODY))",
            "def f(g): return g(g(Raw(['builtin', 'type']), 'E', (), BODY))",
        ],
    );
    check_on_the_line(
        "class Meta(type): pass\nassert f(Meta) == 123456",
        &["def f(meta): return meta('E', (), BODY)()"],
    );
    check_on_the_line(
        "import abc\nassert f(abc.ABCMeta) == 123456",
        &["def f(meta):\n    made = meta('E', (), BODY)\n    return made()"],
    );
    let node = "class Node:\n    def __init__(s, x): s.x = x\n    def is_right(s): return s.x == 123456\n";
    check_on_the_line(
        &format!("{node}n = Node(1)\nf(n)\nassert n.is_right()"),
        &[
            "def f(n): n.is_right = lambda: True",
            "def f(n): n.__class__ = int",
            "def f(n): ask('setattr', n, '__class__', int)",
            "def f(n): ask('getattr', n, '__class__')",
            "def f(n): n.x = type('E', (), BODY)()",
        ],
    );
    check_on_the_line(
        &format!("{node}assert f(Node) == 123456"),
        &[
            "def f(node): return node(123456)",
            "def f(node): node.__eq__ = lambda *a: True; return node(1)",
            "def f(node): node.is_right = lambda *a: True; return node(1)",
        ],
    );
    // A name that is another text for who looks at it than for who uses it.
    check_on_the_line(
        "class Name(str):\n    def __str__(s): return 'x'\nclass Node: _hidden = 'secret'\nassert f(Name, Node()) == 'secret'",
        &["def f(name, node): return ask('getattr', node, name('_hidden'))"],
    );
    // Text that formats shows what lies behind a function.
    check_on_the_line(
        "class S(str): pass\nSECRET = 'secret'\ndef g(): pass\nassert f(S, g) == SECRET",
        &[
            "def f(s, g): return s('{0.__globals__[SECRET]}').format(g)",
            "def f(s, g): return s('{0.__globals__[SECRET]}').format_map({'0': g})",
        ],
    );
}
