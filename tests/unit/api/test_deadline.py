from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest

from batch_screen.api.deadline import Deadlines
from tests import virtual_time


async def within(seconds: float, work: float) -> str:
    with Deadlines().at(asyncio.get_running_loop().time() + seconds):
        await asyncio.sleep(work)
    return "done"


async def heard_within(seconds: float, work: float) -> str:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    saying = loop.call_later(work, future.set_result, "done")
    try:
        return await Deadlines().by(loop.time() + seconds, future)
    finally:
        saying.cancel()


Within = Callable[[float, float], Coroutine[None, None, str]]
both = pytest.mark.parametrize("within", [within, heard_within])


@both
def test_what_is_quick_enough_is_left_alone(within: Within) -> None:
    assert virtual_time.run(within(10, 9.9)) == "done"


@both
def test_what_takes_too_long_is_ended_at_the_limit(within: Within) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await within(10, 1e6)
        await asyncio.sleep(0)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        return loop.time()

    assert virtual_time.run(main()) == pytest.approx(10, abs=0.051)


@both
def test_a_limit_in_the_past_ends_at_once_but_for_its_second_chance(within: Within) -> None:
    with pytest.raises(TimeoutError):
        virtual_time.run(within(-60, 5))


def test_an_error_inside_comes_through() -> None:
    async def main() -> None:
        with Deadlines().at(asyncio.get_running_loop().time() + 1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        virtual_time.run(main())


@both
def test_being_cancelled_by_somebody_else_is_no_timeout(within: Within) -> None:
    async def main() -> None:
        task = asyncio.create_task(within(10, 1e6))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time.run(main())


def test_an_answer_that_lies_there_when_the_process_wakes_is_taken() -> None:
    async def main() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(1))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        loop = asyncio.get_running_loop()
        async with server:
            with Deadlines().at(loop.time() + 0.05):
                writer.write(b"?")
                loop.call_soon(time.sleep, 0.7)  # the whole process stands still
                said = await reader.readexactly(1)
            writer.close()
            await writer.wait_closed()
        return said

    assert asyncio.run(main()) == b"?"


@both
def test_a_server_that_stays_silent_is_not_waited_for_twice(within: Within) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.call_soon(time.sleep, 0.7)
        with pytest.raises(TimeoutError):
            await within(0.05, 60)
        return loop.time() - began

    assert 1.1 < asyncio.run(main()) < 5


def test_what_went_wrong_with_the_future_comes_through() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_later(1, future.set_exception, ZeroDivisionError())
        await Deadlines().by(loop.time() + 10, future)

    with pytest.raises(ZeroDivisionError):
        virtual_time.run(main())
