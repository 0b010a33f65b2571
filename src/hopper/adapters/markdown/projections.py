"""How current answers about the graph are. What else is asked of projections needs a server."""

import time

from hopper.adapters.markdown.needs_server import NeedsServer
from hopper.domain.graph_answer_models import AnsweredBy
from hopper.ports.projections import GraphStamp


class MarkdownProjections(NeedsServer):
    """Implements one of the questions of ports.projections.ProjectionRepository."""

    async def graph_stamp(self) -> GraphStamp:
        """Never twice the same: people may change a file at any time, so no answer is kept."""
        return GraphStamp(changes=time.monotonic_ns(), is_current=False, applied=0, truth=AnsweredBy.FILES)
