"""nginx, one worker, with connections to the upstream kept alive: what a proxy costs that isn't written in Python."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

LABEL = "nginx"
PINS: list[str] = []
CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream endpoint {{ server {upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port}; client_max_body_size 32m; client_body_buffer_size 1m; keepalive_requests 1000000;
    location / {{ proxy_pass http://endpoint; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


def command(interpreter: Path, upstream: str, port: int, folder: Path) -> list[str]:
    found = next(
        (
            one
            for path in (None, "/usr/sbin:/usr/local/sbin", f"{sys.prefix}/bin")
            if (one := shutil.which("nginx", path=path))
        ),
        None,
    )
    if found is None:
        raise FileNotFoundError("nginx is not installed")
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, upstream=urlsplit(upstream).netloc, port=port))
    return [found, "-p", str(folder), "-c", str(config)]
