"""Goes through the cases in a directory: what compare.py and load.py have in common."""

import sys
from collections.abc import Callable
from pathlib import Path


def judge_all(judge: Callable[[Path], str | None], sound: str) -> None:
    """Prints what `judge` has against each case, then how many are `sound`. Exits with 1 when one is not."""
    cases = sorted(path.parent for path in Path(sys.argv[1]).glob("*/case.json"))
    found = [line for line in map(judge, cases) if line]
    print(*found, sep="\n", end="\n" if found else "")
    print(len(cases) - len(found), sound)
    sys.exit(1 if found or not cases else 0)
