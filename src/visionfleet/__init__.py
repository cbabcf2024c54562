"""Roboflow Inference on infrastructure that you own, from one typed file."""

__version__ = "0.1.0"
