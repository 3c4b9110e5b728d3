#!/bin/sh
# A paid call with nothing but curl. PROXY is where `farthing proxy` listens, TOKEN is from `farthing proxy tokens add`,
# API is an address that may ask for money.
#
#   PROXY=http://127.0.0.1:4020 TOKEN=fth_… API=https://api.example.com/weather/berlin sh pay.sh
set -eu

# The answer goes to stdout, what it cost to stderr.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
curl --silent --show-error --fail-with-body --dump-header "$headers" \
  --header "Authorization: Bearer $TOKEN" \
  --header 'Farthing-Max-Price: $0.01' \
  "$PROXY/$API"
grep -i '^farthing-' "$headers" >&2 || true
