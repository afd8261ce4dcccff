"""guard in front of a home-made endpoint: ``POST /generate {"inputs": …, "parameters": {"max_new_tokens": …}}``.

    uvicorn --app-dir examples json_endpoint:app

No dialect knows this API; ``json_endpoint.toml`` says where prompt and budget stand in the body.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from guard import GuardMiddleware


async def generate(request: Request) -> Response:
    asked = await request.json()
    words = str(asked["inputs"]).split()[: asked["parameters"]["max_new_tokens"]]
    return JSONResponse({"generated_text": " ".join(reversed(words))})


routes = [Route("/generate", generate, methods=["POST"])]
app = GuardMiddleware(Starlette(routes=routes), policy=Path(__file__).with_name("json_endpoint.toml"))
