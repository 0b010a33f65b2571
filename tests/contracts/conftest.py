"""Every backend that the ports' contracts are held against."""

from collections.abc import AsyncIterator

import pytest
from tests.contracts.working import Backend, UnitOfWorkFactory

from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.app.projections import SUBSCRIPTIONS
from hopper.ports.unit_of_work import UnitOfWork

BACKENDS = ["postgres"]
"""Names of fixtures, each of which gives an empty store."""


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Backend]:
    pool = await open_pool(database_url, 8)
    try:
        yield Backend(lambda: PostgresUnitOfWork(pool, SUBSCRIPTIONS), PostgresVectorIndexes(pool))
    finally:
        await pool.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """An empty store."""
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def uow_factory(backend: Backend) -> UnitOfWorkFactory:
    """Opens units of work over an empty store."""
    return backend.unit_of_work


@pytest.fixture
async def uow(uow_factory: UnitOfWorkFactory) -> AsyncIterator[UnitOfWork]:
    """One open unit of work over an empty store."""
    async with uow_factory() as opened:
        yield opened
