"""Recall and friends against the full catalogue, the baselines, the report."""
