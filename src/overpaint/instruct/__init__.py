"""Stage 1: captions → edit instructions and edited captions, by a language model.

sources     from the settings to captions and a writer
writer      the interface of what writes edits   endpoint     a server as the writer
models      loading a language model             sampling     many rows at once, a seed a row
text_format the text that a model reads and writes, and its grammar
kinds       object, attribute, style, ...        words, scripts  what a text says
filters     which rows are kept, and why not     quality      the figures of a set of triplets
generation  captions → shards of triplets        report       the summary and its page
finetuning, completions                          LoRA or full, on triplets
everyday    captions and triplets of our own
"""
