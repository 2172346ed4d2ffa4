"""What a metric computes: pictures, vectors or numbers in, numbers out. Nothing here loads a model.

definitions  what every score means, its unit, and which way is better
pixelwise    L1, L2, PSNR of untouched pixels      retrieval  target retrieval@1
embedding    cosines and CLIP's directional similarity, of vectors that a judge gives
intervals    how sure a figure is: Wilson, BCa, Newcombe, exact tests, Holm
"""
