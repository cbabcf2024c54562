"""Data staging: batches, and how images come into them."""
