"""Releases: gates, publishing, changing which is current, refreshing, cards."""
