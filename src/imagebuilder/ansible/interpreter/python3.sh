#!/bin/sh
# Debian's Python with its own loader and libraries, so that the image needs
# neither. No variable is set: what it starts uses the image's libraries.
lent=/run/imagebuilder/python
exec "$lent/ld.so" --inhibit-cache --argv0 "$0" --library-path "$lent/native" "$lent/bin/python" "$@"
