"""Evaluation: what an editor gets right, in numbers.

stage         from settings to a report           settings     the recipe's block
cases         what is edited, and what is known   sources      scenes, pairs
published/    test sets of others and their protocols: one file each
edits         cases through an editor             scoring      all metrics of edited cases
case_stage    both, in shards                     baseline     the row "return the input"
judges        the CLIP and DINO that judge        cache        results that a rerun takes
audit         what an audit is given and gives    shown_cases  the page's pictures
evaluate      all of it
"""
