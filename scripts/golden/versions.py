"""Stop before anything is written or measured if an installed version is not the one scripts/python.txt pins.

Usage: versions.py PACKAGE...
"""

import sys
from importlib.metadata import version
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "python.txt"


def main() -> None:
    """Exit 1 with the differences, or print nothing."""
    lines = [line.split()[0] for line in PINS.read_text().splitlines() if "==" in line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    wrong = {name: version(name) for name in sys.argv[1:] if version(name).split("+")[0] != pins[name]}
    for name, found in wrong.items():
        print(f"{sys.executable}: {name} {found} is installed, {PINS} pins {pins[name]}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
