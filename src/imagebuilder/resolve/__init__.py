"""From what the tree asks for to exact packages: sources, indexes, versions, downloads."""
