"""How well held-out impressions are ranked, and how well their watch time is predicted."""
