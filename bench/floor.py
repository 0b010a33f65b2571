"""The floor of a durable create: FastAPI, asyncpg, one INSERT, and nothing else."""

import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field


class NewTask(BaseModel):
    title: str
    description: str | None = None
    tags: dict[str, bool | str] = Field(default_factory=dict)


def create_app(url: str) -> FastAPI:
    pool: asyncpg.Pool[asyncpg.Record]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        nonlocal pool
        async with asyncpg.create_pool(url, min_size=1, max_size=20) as pool:
            await pool.execute(
                """CREATE TABLE IF NOT EXISTS tasks (id varchar(36) PRIMARY KEY, title varchar(500) NOT NULL,
                       description text, tags jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"""
            )
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/api/v1/tasks", status_code=201)
    async def create(task: NewTask) -> dict[str, str]:
        id = str(uuid4())
        await pool.execute(
            "INSERT INTO tasks (id, title, description, tags) VALUES ($1, $2, $3, $4)",
            id,
            task.title,
            task.description,
            json.dumps(task.tags),
        )
        return {"id": id}

    return app


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)

    Server(uvicorn.Config(create_app(os.environ["DATABASE_URL"]), log_level="warning", access_log=False)).run(
        [listener]
    )


if __name__ == "__main__":
    main()
