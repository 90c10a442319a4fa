from __future__ import annotations

import asyncio
import threading
from multiprocessing import Pipe

from batch_screen.cluster.messages import Orders, Report, Slot
from batch_screen.cluster.processes import PipeLink
from batch_screen.engine.engine import loop_factory
from batch_screen.model import Endpoint


def test_messages_may_be_longer_than_the_pipe_is_wide() -> None:
    """At high rates they are, and a second call begins with the pipe as the first has left it."""
    ours, theirs = Pipe()
    orders = Orders(1, 2.0, [Slot(number, 0.5) for number in range(50_000)])
    report = Report(1, started=[(n, 0.5, Endpoint.SIM_SWAP_CHECK) for n in range(50_000)])
    heard: list[Report] = []

    def lead() -> None:
        for _ in range(2):
            heard.append(ours.recv())
            ours.send(orders)

    leader = threading.Thread(target=lead, daemon=True)
    leader.start()
    link = PipeLink(theirs)

    async def talk() -> list[Orders]:
        return [await link.call(report) for _ in range(2)]

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert [len(each.slots) for each in runner.run(talk())] == [50_000, 50_000]
    leader.join(5)
    assert [len(each.started) for each in heard] == [50_000, 50_000]
