"""When patterns were consolidated last. It is kept in the index: without it, consolidation only comes sooner."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hopper.adapters.markdown.episodes import HAS_NEWS, NEWS_AT

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session


class MarkdownConsolidations:
    """Implements ports.repositories.ConsolidationRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def due(self, outcomes: int, pause: timedelta, now: datetime) -> bool:
        return bool(
            await self._session.fetchval(
                f"""WITH last AS (SELECT coalesce(max(consolidated_at), '') AS moment FROM consolidations)
                    SELECT (SELECT moment FROM last) <= ?2 AND ?1 <= (
                        SELECT count(*) FROM routing_episodes
                        WHERE {HAS_NEWS} AND {NEWS_AT} > (SELECT moment FROM last))""",
                outcomes,
                now - pause,
            )
        )

    async def done(self, now: datetime) -> None:
        await self._session.execute("INSERT OR REPLACE INTO consolidations VALUES (1, ?)", now)
