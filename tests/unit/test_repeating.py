"""Workers that do the same again and again."""

import asyncio

from hopper.app.background import Repeating


async def test_costly_work_takes_its_share_of_the_time_and_no_more() -> None:
    """With a million tasks a server would count them all the time, and have no time left for anybody."""
    done = 0

    async def work() -> None:
        nonlocal done
        done += 1
        await asyncio.sleep(0.1)

    def log(event: str, **fields: object) -> None:
        raise AssertionError(event)

    seldom = Repeating(work, 0.01, "it failed", log, share=0.1)
    running = asyncio.create_task(seldom.run())
    await asyncio.sleep(0.3)
    assert done == 1
    await asyncio.sleep(1.2)
    assert done == 2
    seldom.stop()
    await running


async def test_work_that_waited_and_failed_is_soon_tried_again() -> None:
    """After a minute in which the database hung, decisions would be made by what was known 19 minutes before."""
    tries, told = 0, []

    async def work() -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.1)
        raise TimeoutError

    def log(event: str, **fields: object) -> None:
        told.append((event, fields))

    again = Repeating(work, 0.01, "it failed", log, share=0.01)
    running = asyncio.create_task(again.run())
    await asyncio.sleep(0.5)
    again.stop()
    await running
    assert tries > 1
    assert told == tries * [("it failed", {"error": "TimeoutError"})]
