"""Audits: sections of a report that take edits of their own. One module is one audit.

registry   which audits the settings ask for
curve      the trade-off between editing and keeping
galleries  pictures beside each other, and edits in turn
bias       what an edit changes about a person that nobody named
"""
