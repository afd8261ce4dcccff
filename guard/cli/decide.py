"""Answers gateways that can't run Python whether a request may pass: nginx auth_request, Traefik forwardAuth, Envoy ext_authz.

    guard decide --policy guard.toml
    guard decide --host 10.0.0.5 --port 8090 --policy guard.toml --settle never

The policy's [trust] hops say who may ask. A gateway asks at /decide/nginx, /decide/traefik or below /decide/envoy. What an exchange
came to is told to POST /settle; where nobody does that, say --settle never.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from guard.cli._server import configured
from guard.cli.serve import OncePerSecond
from guard.errors import InstallError

SUMMARY = "answer nginx, Traefik or Envoy whether a request may pass"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--policy", metavar="FILE", default="guard.toml", help="the policy, with [trust] hops (default: guard.toml)")
    add("--host", metavar="H", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    add("--port", metavar="P", type=int, default=8090, help="the port to listen on; 0: any (default: 8090)")
    add(
        "--settle",
        choices=("later", "never"),
        default="later",
        help="whether the gateway tells /settle what an exchange came to (default: later)",
    )
    add("--tokens", metavar="N", type=int, default=1000, help="charged for a question without a body (default: 1000)")
    add("--http", choices=("auto", "h11", "httptools"), default="auto", help="how requests are parsed (default: auto)")


def run(options: argparse.Namespace) -> int:
    if options.tokens < 0:
        raise InstallError("--tokens is a number of tokens, 0 or more")
    try:
        import uvicorn  # noqa: PLC0415 - a server, only when it is needed
    except ModuleNotFoundError as error:
        raise InstallError(
            f"{error.name} is missing; install it with: pip install 'extraction-guard[gateway]'"
        ) from None
    from guard.asking import deciding  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").addFilter(OncePerSecond())
    if os.getcwd() not in sys.path:  # for [identity] describe, as servers do it
        sys.path.insert(0, os.getcwd())
    app = deciding(options.policy, settles=options.settle == "later", tokens=options.tokens)
    server = uvicorn.Server(configured(app, options, 30))
    server.run()
    return 0 if server.started else 1
