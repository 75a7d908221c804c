"""What the two READMEs tell pharma IT to type."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
_PARTS = {
    ENGLISH: ("**Pharma IT.**", "**The data steward.**"),
    KOREAN: ("**IT 담당자.**", "**데이터 관리자.**"),
}
_COMMENT = re.compile(r"\s{2,}#.*$")


def for_it(readme: Path) -> list[str]:
    """Returns the lines of the part for IT."""
    begin, end = _PARTS[readme]
    return readme.read_text(encoding="utf-8").split(begin)[1].split(end)[0].splitlines()


def commands(readme: Path) -> list[str]:
    """Returns what is to be typed, without what is said beside it."""
    found: list[str] = []
    inside = False
    for line in for_it(readme):
        if line.startswith("```"):
            inside = not inside
        elif inside and (typed := _COMMENT.sub("", line)):
            found.append(typed)
    return found
