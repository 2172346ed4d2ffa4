"""What an evaluation found, as JSON and as a page; reports side by side. Nothing here imports torch.

schema      report.json: its fields, read and written
build       means with intervals, and models compared case by case
sections    the contents of the audits' sections
comparison  two reports side by side, in words
page        report.html, from `page_files/`
"""
