"""Devices at the edge: their keys, their reports, and what the file asks of them."""
