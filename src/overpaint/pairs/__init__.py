"""Stage 2: triplets → pairs of pictures, drawn by a text-to-image model and chosen by CLIP.

settings    the recipe's block                   inputs      triplets that can be used
controlnet, prompt_to_prompt  the two methods that draw candidates; requests: what they are asked
scoring     the four CLIP scores                 choice      which candidates pass and are kept
making      one shard of pairs                   stage       triplets → shards of pairs
tallies     what became of rows, counted         showing     the few of them that the page shows
summary     the figures of a run                 report      its page
calibration thresholds for a CLIP                parts       which models the settings mean
"""
