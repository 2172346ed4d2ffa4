"""Evaluation: what an editor gets right, in numbers and pictures.

cases       what is edited, and what is known of the right answer (scenes, pairs)
published   the same from the folders of MagicBrush and Emu Edit    presets   their protocols
metrics     what every score means, and which way is better
pixelwise   L1, L2            retrieval   target retrieval@1, PSNR
embedding   CLIP and DINO     scoring     all metrics of a batch
intervals   Wilson, BCa, Newcombe, exact tests, Holm
runs        one model over all cases, in shards
unedited    the row "return the input"; which cases a model has seen in training
curve       the trade-off     galleries   pictures beside each other, drift
bias        what an edit changes that nobody named
sections    what these find, for the report
report      report.json       page        report.html          plots   its SVG
comparison  two reports       accuracy    retrieval@1 on scenes, beside baselines
captions    whether a picture shows what its caption says
"""
