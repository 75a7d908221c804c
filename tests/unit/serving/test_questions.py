import asyncio
from collections.abc import Mapping

from agent.serving.questions import Questions


class Noted:
    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, object], bytes]] = []

    async def ask(self, head: Mapping[str, object], piece: bytes) -> bytes:
        self.asked.append((dict(head), piece))
        return b"{}"


def test_a_question_says_all_that_a_worker_needs() -> None:
    noted = Noted()
    questions = Questions(noted)
    assert asyncio.run(questions.neighbours("a", b"[]", "logd", 3)) == b"{}"
    assert asyncio.run(questions.survey("r1", "own_compounds", "a")) == b"{}"
    assert noted.asked == [
        ({"do": "neighbours", "reference": "a", "endpoint": "logd", "most": 3}, b"[]"),
        ({"do": "survey", "release": "r1", "of": "own_compounds", "reference": "a"}, b""),
    ]
