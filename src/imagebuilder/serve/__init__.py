"""`imagebuilder serve`: the boot server. Reads the store, never builds.

catalog.py    what is in the store, by name, digest, file name; follows index.json
ranges.py     which part of a file a Range header wants
content.py    a file as an answer: sendfile, Range, ETag, for ever or to be asked again
registry.py   /v2/: the store as a read-only OCI registry
files.py      /blobs/, the paths of 2015, iPXE's programs
identity.py   who asks: addresses and numbers as boot loaders write them
nodes.py      nodes.yml: which machine gets what; roster.py follows it, assign.py changes it
nodelayer/    files that one node alone gets
scripts.py    what a boot loader is told: iPXE, GRUB
bootscripts.py    where it asks
reports.py    what nodes report of their boots; body.py has the bodies of requests
tasks.py      RackHD's task protocol; inventory.sh is a task of ours, hardware.py what its result says
desk.py       what an operator can ask for: local.py does it, remote.py asks a server; follow.py waits for tasks
api/          the same over HTTP
described.py  what routes say of themselves; openapi.py makes a document of it
metrics.py    numbers for Prometheus
operator.py   who may see and change it: a token, a cookie; guards routes
state/        what is remembered of nodes; listing.py shows it
dnsmasq.py    addresses and boot programs, by dnsmasq
kea.py        the same for those who run Kea
site.py       the page, whose files are in page/; details.py, images.py, inventories.py are what it asks for
live.py       what nodes do, now and as it changes: overview.py a node in a line, feed.py events, transfers.py bytes
nginx.py      nginx in front of it
app.py        all routes, and what becomes of errors
tls.py        the certificate
server.py     sockets, limits, a graceful stop
"""
