"""Pages for a browser: one self-contained file each, light and dark, drawn as SVG, without scripts."""
