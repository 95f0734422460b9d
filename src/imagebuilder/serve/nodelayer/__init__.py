"""The layer of one node alone: a few files, rendered when the node asks for its boot script.

variables.py    what nodes differ in, by types that nodes.yml declares
templates.py    files of nodes.yml, and what becomes of them for one node
layer.py        an overlay of the rendered files, and what of it may be shown
shelf.py        where nodes fetch theirs
"""
