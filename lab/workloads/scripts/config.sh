# a projected volume, as a kubelet lays it out: readable through its links, and not writable
set -e
answer "greeting '$(cat /config/greeting)'"
answer "links $(readlink /config/greeting) $(readlink /config/..data | grep -c '^\.\.')"
if echo x 2>/dev/null >/config/greeting; then answer 'written'; else answer 'not written'; fi
if touch /config/new 2>/dev/null; then answer 'made'; else answer 'not made'; fi
