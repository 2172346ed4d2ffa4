"""Stage 1: captions → edit instructions and edited captions, by a language model.

words       what a text says, for comparing      cleaning    which rows are kept, and why not
kinds       object, attribute, style, ...        quality     the figures of a set of triplets
prompting   the text that a model reads and writes, and its grammar
models      loading a language model             sampling    many rows at once, a seed a row
endpoint    a server in its place                generation  captions → shards of triplets
finetuning  LoRA or full, on triplets            report      the summary and its page
everyday    captions and triplets of our own
"""
