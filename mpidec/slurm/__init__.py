"""Slurm: batch scripts, their submission, and what has become of the jobs."""
