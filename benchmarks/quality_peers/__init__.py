"""What the quality benchmark compares: a file a library, or an idea.

A method is a class made with the seed and with how far it may be cut short. ``fit`` is given the
problem and the training examples that it may know, ``scores`` returns a batch's scores of all
items; ``asking`` calls them.
"""
