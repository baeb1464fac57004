"""Whether an answer is right: finding it in a text, and comparing it by two sets of rules.

`strict` is ours, `released` the authors'. `quantities` compares exactly, `numeric` by value,
`symbolic` by computer algebra in a process of its own.
"""
