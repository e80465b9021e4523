"""Embedding tables, feature encoders, towers, and the TFRS model that holds them."""
