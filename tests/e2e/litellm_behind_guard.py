"""LiteLLM's proxy app with guard round it, as a program for LiteLLM's own environment; prints its port once it listens.

python litellm_behind_guard.py guard.toml        with CONFIG_FILE_PATH naming LiteLLM's configuration
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from litellm.proxy.proxy_server import app  # type: ignore[import-not-found]  # only in its own environment

from guard import GuardMiddleware

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(GuardMiddleware(app, policy=sys.argv[1]), log_level="warning"))
server.run(sockets=[listener])
