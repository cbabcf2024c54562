"""Batch processing: jobs, their stages, the work of the workers, and what comes out."""
