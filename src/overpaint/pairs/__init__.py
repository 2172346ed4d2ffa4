"""Stage 2: triplets → pairs of pictures, sampled by a text-to-image model and chosen by CLIP.

settings    the recipe's block             stage        triplets → shards of pairs
scores      what a score is, thresholds, the choice among candidates
candidates  a candidate, and a row with its scored candidates
sampler     text-to-image in batches, which both methods use
controlnet, canny                          one source a row, its edges bind the edited picture
prompt_to_prompt, token_alignment          both pictures at once, with shared attention
generation  one shard: sample, score, choose
statistics  what became of rows, counted   report       pairs.html
calibration thresholds for a CLIP, from scenes
"""
