"""The line between the process of the tests and that of the program: values, questions, stand-ins, and what is let through.

Both ends run this file, and only the judge's end can be relied on: the program may write to the line what it likes. So the
judge takes every word on it for a lie. `decode` makes data, stand-ins and the tests' own objects of it and nothing else, and
`permit` says what a program may have done with those objects.
"""
import builtins
import collections
import collections.abc
import datetime
import decimal
import fractions
import functools
import importlib
import json
import operator
import os
import sys
import types

# What counts as data, and what classes derived from it are reduced to.
BASE = (list, tuple, dict, set, frozenset, str, int, float, bytes, bytearray, complex)
# What an object that is data at heart may turn out to be.
DATA = BASE + (bool, type(None), datetime.date, datetime.datetime, datetime.timedelta)
# Of these the value stays, so it is asked for once: an object cannot be 9 for `x > 4` and then 3 for `x < 5`.
LASTING = (tuple, frozenset, str, int, float, bytes, complex, bool)


class Gone(BaseException):
    """The other process has ended. Not an Exception, so that no test can catch it by accident."""


class RemoteError(Exception):
    """An error of a class that the other process does not know."""


def plain(value):
    """`value` as exact built-in data, if it is that at heart: a named tuple, a Counter, a dict view, an array."""
    for base in BASE:
        if isinstance(value, base):
            if base is dict:
                return dict(dict.items(value))
            # Through the base's own methods, whatever the subclass makes of them.
            if hasattr(base, "__iter__") and base is not str:
                return base(base.__iter__(value))
            return base.__new__(base, value)
    if isinstance(value, (collections.abc.KeysView, collections.abc.ItemsView)):
        return set(value)
    if isinstance(value, collections.abc.ValuesView) or type(value) is collections.deque:
        return list(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__!r} is not plain data")


class Peer:
    """One end of the line between judge and worker: both may ask, and answer while they wait."""

    def __init__(self, reading, writing, is_judge):
        self.reader = os.fdopen(reading, "r", encoding="ascii", newline="\n")
        self.writer = os.fdopen(writing, "w", encoding="ascii", newline="\n")
        self.is_judge = is_judge
        self.gone = False
        self.own = {}
        self.n_own = 0

    # Values on the line: JSON, with a tagged list for everything JSON has not.

    def encode(self, value):
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -(2**53) < value < 2**53 else ["i", hex(value)]
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, [self.encode(item) for item in value]]
        if kind is dict:
            return ["dict", [[self.encode(key), self.encode(item)] for key, item in value.items()]]
        if kind is bytes or kind is bytearray:
            return [kind.__name__, value.hex()]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind is fractions.Fraction or kind is decimal.Decimal:
            return [kind.__name__, str(value)]
        if kind is datetime.date or kind is datetime.datetime:
            return [kind.__name__, value.isoformat()]
        if kind is datetime.timedelta:
            return ["timedelta", value.days, value.seconds, value.microseconds]
        if kind is Remote:
            return ["yours", value._id]
        if kind is type and value.__module__ == "builtins":
            return ["builtin", value.__name__]
        # The worker may have whatever the library has by name; the judge takes none from it, or `exec` could come.
        if self.is_judge and is_of_library(value):
            return ["library", value.__module__, value.__name__]
        self.n_own += 1
        self.own[self.n_own] = value
        return ["mine", self.n_own]

    def decode(self, value):
        if type(value) is not list:
            return value
        tag, *rest = value
        if tag == "i":
            return int(rest[0], 16)
        if tag in ("list", "tuple", "set", "frozenset"):
            return getattr(builtins, tag)([self.decode(item) for item in rest[0]])
        if tag == "dict":
            return {self.decode(key): self.decode(item) for key, item in rest[0]}
        if tag in ("bytes", "bytearray"):
            return getattr(builtins, tag).fromhex(rest[0])
        if tag == "complex":
            return complex(*rest)
        if tag == "Fraction":
            return fractions.Fraction(rest[0])
        if tag == "Decimal":
            return decimal.Decimal(rest[0])
        if tag == "date" or tag == "datetime":
            return getattr(datetime, tag).fromisoformat(rest[0])
        if tag == "timedelta":
            return datetime.timedelta(*rest)
        if tag == "builtin":
            found = getattr(builtins, rest[0])
            # Not `type`, with which a program could make a class in the judge.
            if type(found) is type and (not self.is_judge or found in DATA or issubclass(found, BaseException)):
                return found
        if tag == "library" and not self.is_judge:
            return getattr(importlib.import_module(rest[0]), rest[1])
        if tag == "yours":
            return self.own[rest[0]]
        if tag == "mine":
            return Remote(self, rest[0])
        raise ValueError(f"a value of an unknown kind: {tag!r}")

    def send(self, *message):
        try:
            self.writer.write(json.dumps(message) + "\n")
            self.writer.flush()
        except OSError:
            self.leave()

    def receive(self):
        try:
            line = self.reader.readline()
            if line.endswith("\n"):
                return json.loads(line)
        except (OSError, ValueError):
            pass
        self.leave()

    def leave(self):
        self.gone = True
        raise Gone("the program ended before the test did")

    def ask(self, what, *arguments):
        """Has the other process do `what`; returns or raises what it answers."""
        if self.gone:
            self.leave()
        self.send("ask", what, *map(self.encode, arguments))
        while True:
            message = self.receive()
            if message[0] == "ask":
                self.answer(message[1:])
                continue
            if message[0] == "value":
                # Lists and the like that the call has changed, changed here too.
                for argument, after in zip(arguments[1] if what == "call" else (), message[2]):
                    adopt(argument, self.decode(after))
                return self.decode(message[1])
            kind = getattr(builtins, message[1], None)
            known = isinstance(kind, type) and issubclass(kind, Exception)
            if kind is StopIteration and what != "next":
                # It would end a loop of the test, `all(map(check, ..))`, and with it the checks.
                kind = RuntimeError
            raise (kind if known else RemoteError)(message[2] if known else f"{message[1]}: {message[2]}")

    def answer(self, message):
        try:
            what, *arguments = message[0], *map(self.decode, message[1:])
            if self.is_judge:
                permit(what, arguments)
            value = SERVICES[what](*arguments)
            changed = []
            if what == "call":
                changed = [self.encode(item) if type(item) in (list, dict, set) else None for item in arguments[1]]
            reply = ("value", self.encode(value), changed)
        except Exception as error:
            reply = ("error", type(error).__name__, str(error)[:300])
        except SystemExit as error:
            reply = ("error", "SystemExit", str(error)[:300])
        self.send(*reply)


def adopt(argument, after):
    if type(argument) is list and type(after) is list and argument != after:
        argument[:] = after
    elif type(argument) in (dict, set) and type(after) is type(argument) and argument != after:
        argument.clear()
        argument.update(after)


def is_of_library(value):
    """Whether `value` is a function or class that an import finds under its own name."""
    if type(value) is types.BuiltinFunctionType and not isinstance(value.__self__, (types.ModuleType, type(None))):
        return False
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return False
    module = sys.modules.get(value.__module__)
    return value.__module__ not in ("tests", "__main__") and getattr(module, value.__name__, None) is value


# What a program may ask for, and of how many arguments; with more, `iter` calls, and `str` decodes.
PERMITTED = {"call": 3, "getattr": 2, "setattr": 3, "iter": 1, "next": 1, "len": 1, "getitem": 2, "str": 1, "repr": 1}
PERMITTED["bool"] = 1


def permit(what, arguments):
    """What a program may do to what a test hands it: call it, and use the public side of the test's own classes.

    Whatever could make a new type in the judge is out of reach: its `==` would be believed."""
    if PERMITTED.get(what) != len(arguments):
        raise TypeError(f"{what} is not for the program")
    target = arguments[0]
    if isinstance(target, type) and (target.__module__ != "tests" or issubclass(target, type)):
        raise TypeError(f"{what} of {target.__name__} is not for the program")
    if what == "call":
        if not is_callable_by_program(target) or type(arguments[1]) is not tuple or type(arguments[2]) is not dict:
            raise TypeError(f"a call of {type(target).__name__} is not for the program")
    elif what in ("getattr", "setattr"):
        name = arguments[1]
        if type(target).__module__ != "tests" or type(name) is not str or name.startswith("_"):
            raise AttributeError("this attribute is not for the program")
        # Text that formats could read every attribute of what it is handed.
        if name in ("format", "format_map"):
            raise AttributeError(f"{name} is not for the program")
        if what == "setattr" and callable(getattr(type(target), name, None)):
            raise AttributeError(f"{name} is the test's own method")


def is_callable_by_program(target):
    """Functions, classes and callable objects of the tests, methods of their objects and of data, and what binds these."""
    kind = type(target)
    if kind is types.FunctionType or isinstance(target, type):
        return target.__module__ == "tests"
    if kind is types.MethodType:
        # Those of the library's containers, if the tests have made classes of them.
        return target.__func__.__module__ in ("tests", "collections", "_collections_abc")
    if kind is functools.partial:
        return is_callable_by_program(target.func) or is_of_library(target.func) and target.func is not type
    if kind is types.BuiltinFunctionType:
        return type(target.__self__) in DATA or type(target.__self__).__module__ == "tests"
    return kind.__module__ == "tests" or kind in (operator.itemgetter, operator.attrgetter, operator.methodcaller)


SERVICES = {
    "call": lambda target, arguments, named: target(*arguments, **named),
    "iter": iter,
    "next": next,
    "len": len,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "getattr": getattr,
    "setattr": setattr,
    "str": str,
    "repr": repr,
    "bool": bool,
    "isinstance": isinstance,
    "hash": hash,
    "plain": plain,
    "enter": lambda target: type(target).__enter__(target),
    "leave": lambda target: type(target).__exit__(target, None, None, None),
    "binary": lambda name, left, right: getattr(operator, name)(left, right),
}


class Remote:
    """Stands for an object in the other process."""

    __slots__ = ("_peer", "_id", "_value")

    def __init__(self, peer, number):
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_id", number)
        object.__setattr__(self, "_value", None)

    def _ask(self, what, *arguments):
        return self._peer.ask(what, self, *arguments)

    def _data(self):
        if self._value is not None:
            return self._value
        value = self._ask("plain")
        if type(value) not in DATA:
            raise TypeError("an object that is not plain data cannot be compared with data")
        if type(value) in LASTING:
            object.__setattr__(self, "_value", value)
        return value

    def __call__(self, *arguments, **named):
        return self._ask("call", arguments, named)

    def __getattr__(self, name):
        # Others are looked for by libraries: with `__array_interface__` an array could be any memory of this process.
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__qualname__", "__dict__"):
            raise AttributeError(name)
        return self._ask("getattr", name)

    def __setattr__(self, name, value):
        self._ask("setattr", name, value)

    def __iter__(self):
        return self._ask("iter")

    def __next__(self):
        return self._ask("next")

    def __len__(self):
        return self._ask("len")

    def __getitem__(self, key):
        return self._ask("getitem", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __delitem__(self, key):
        self._ask("delitem", key)

    def __str__(self):
        return self._ask("str")

    def __repr__(self):
        return self._ask("repr")

    def __bool__(self):
        return self._ask("bool")

    def __hash__(self):
        return self._ask("hash")

    def __enter__(self):
        return self._ask("enter")

    def __exit__(self, *_):
        self._ask("leave")

    def __instancecheck__(self, value):
        return type(value) is Remote and self._peer.ask("isinstance", value, self)

    def __float__(self):
        return float(self._data())

    def __index__(self):
        return operator.index(self._data())

    def __abs__(self):
        return abs(self._data())

    def __round__(self, digits=None):
        return round(self._data(), digits)


def binary(name):
    """An operator. Against data, the object itself must be data, and the operator is the judge's own: what the data is,
    the program never learns. Between two objects of the program, the program's own operator counts."""
    perform = getattr(operator, name)

    def forward(self, other):
        if type(other) is not Remote:
            try:
                return perform(self._data(), other)
            except TypeError:
                return NotImplemented
        return self._peer.ask("binary", name, self, other)

    def backward(self, other):
        try:
            return perform(other, self._data())
        except TypeError:
            return NotImplemented

    return forward, backward


for _name in "eq ne lt le gt ge".split():
    setattr(Remote, f"__{_name}__", binary(_name)[0])
for _name in "add sub mul truediv floordiv mod pow matmul and_ or_ xor".split():
    _forward, _backward = binary(_name)
    setattr(Remote, f"__{_name.strip('_')}__", _forward)
    setattr(Remote, f"__r{_name.strip('_')}__", _backward)
