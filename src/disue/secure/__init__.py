"""The protected protocol: the server learns cosines between updates and sums over groups, and nothing of one client.

wire/    what both sides know: formats, hashes, rosters, sealed boxes, the ring, shares, masks, cosines from sketches
client/  what only a client may run: the sketch seed, the sketch, the client's state machine
server/  the server's state machine and its driver; it never imports client/
"""
