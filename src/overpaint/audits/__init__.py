"""Questions beyond the scores: bias, galleries, the trade-off curve."""
