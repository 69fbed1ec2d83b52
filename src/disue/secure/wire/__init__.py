"""What both sides know: formats, hashes, rosters, sealed boxes, ring, shares, masks."""
