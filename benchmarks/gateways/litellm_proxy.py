"""LiteLLM's proxy, one worker, without a database, budgets or logging."""

from __future__ import annotations

from pathlib import Path

LABEL = "LiteLLM proxy"
PINS = ["litellm[proxy]==1.101.6"]
CONFIG = """
model_list:
  - model_name: "demo-large"
    litellm_params: {{ model: "openai/demo-large", api_base: "{upstream}/v1", api_key: "sk-none" }}
  - model_name: "demo-small"
    litellm_params: {{ model: "openai/demo-small", api_base: "{upstream}/v1", api_key: "sk-none" }}
litellm_settings: {{ telemetry: false, num_retries: 0 }}
"""


def command(interpreter: Path, upstream: str, port: int, folder: Path) -> list[str]:
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(upstream=upstream))
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [str(interpreter.parent / "litellm"), *options]
