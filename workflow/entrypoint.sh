#!/bin/sh
# The program of the image: patch2loc, and for the call of a BIDS App (IMAGE BIDS_DIR OUT participant) its detect.
if [ -d "$1" ]; then
    case "$3" in participant | group) set -- detect "$@" ;; esac
fi
exec patch2loc "$@"
