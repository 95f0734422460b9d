"""`imagebuilder boot`: starts built images in a virtual machine, serves it, and says how far it came.

artifacts.py   what is in the artifact folder -> the files of one boot
arguments.py   the kernel command line, as RackHD's boot profile writes it
peer.py        the HTTP server the node talks to: files, boot script, tasks
console.py     what comes out of the serial port -> events
phases.py      the way of a node from firmware to result, and how long each stretch may take
session.py     one boot, from the first instruction to the result or to the reason why not
"""
