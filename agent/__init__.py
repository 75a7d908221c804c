"""Onggi's agent: the appliance that lives in a company's own network."""

import os

# onnxruntime >= 1.29 phones home unless this is set before its import (docs/architecture.md).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# What torch's deterministic mode needs on CUDA, before the first product there.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"
