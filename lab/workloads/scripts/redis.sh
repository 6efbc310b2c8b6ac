# keys through a pipe, an append-only file that is synced at each write, SIGKILL, restart
set -e
socket=/tmp/redis.sock
mkdir /data/redis
start() {
  redis-server --dir /data/redis --port 0 --unixsocket $socket --save '' --appendonly yes --appendfsync always \
    --daemonize yes --pidfile /tmp/redis.pid --logfile /tmp/redis.log >/dev/null
  until [ "$(ask ping 2>/dev/null)" = PONG ]; do sleep 0.1; done
}
ask() { redis-cli -s $socket "$@"; }

start
for n in $(seq 2000); do echo "SET key:$n value-$n"; done | ask --pipe | sed -n 's/^errors: /errors: /p' >/tmp/piped
answer "$(cat /tmp/piped)"
for n in $(seq 50); do ask incr counter >/dev/null; done
ask rpush list a b c >/dev/null
answer "size $(ask dbsize), counter $(ask get counter), key:1234 $(ask get key:1234)"
kill -KILL "$(cat /tmp/redis.pid)"
while pgrep -x redis-server >/dev/null; do sleep 0.1; done
start
answer "after SIGKILL: size $(ask dbsize), counter $(ask get counter), key:1999 $(ask get key:1999)"
ask bgrewriteaof >/dev/null
until ask info persistence | grep -q 'aof_rewrite_in_progress:0'; do sleep 0.1; done
answer "rewritten: $(ask info persistence | tr -d '\r' | grep aof_last_bgrewrite_status)"
ask shutdown nosave >/dev/null 2>&1 || true
while pgrep -x redis-server >/dev/null; do sleep 0.1; done
answer "$(redis-check-aof /data/redis/appendonlydir/*.manifest | grep -c 'is valid\|are valid') file checks"
start
answer "list $(ask lrange list 0 -1 | tr '\n' ' '), size $(ask dbsize)"
