"""Onggi's agent: the appliance that lives in a company's own network."""

import os

# onnxruntime >= 1.29 phones home unless this is set before its import (docs/architecture.md).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
