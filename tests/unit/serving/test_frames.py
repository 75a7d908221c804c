import asyncio
import io

from hypothesis import given
from hypothesis import strategies as st

from agent.serving import frames
from agent.serving.frames import Frame

MESSAGES = st.lists(
    st.tuples(st.dictionaries(st.text(), st.integers() | st.text()), st.binary()), max_size=4
)


@given(MESSAGES)
def test_messages_arrive_as_they_were_sent(messages: list[Frame]) -> None:
    sent = b"".join(frames.pack(head, body) for head, body in messages)
    stream = io.BytesIO(sent)
    assert [frames.read(stream) for _ in messages] == messages
    assert frames.read(stream) is None
    assert asyncio.run(_received(sent, len(messages))) == messages


async def _received(sent: bytes, count: int) -> list[Frame]:
    stream = asyncio.StreamReader()
    stream.feed_data(sent)
    stream.feed_eof()
    return [await frames.receive(stream) for _ in range(count)]


def test_what_breaks_off_is_no_message() -> None:
    whole = frames.pack({"do": "load"}, b"body")
    for length in range(len(whole)):
        assert frames.read(io.BytesIO(whole[:length])) is None
