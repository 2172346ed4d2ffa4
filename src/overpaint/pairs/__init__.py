"""The second stage: paired captions become paired pictures.

    summary = make_pairs("runs/demo/triplets", "runs/demo/pairs", PairsSettings())

Nothing heavy is imported before one of these functions runs.
"""
