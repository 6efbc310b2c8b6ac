# initdb, pgbench, SIGKILL to the postmaster in the middle of writing, recovery; sums that must agree
set -e
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGDATA=/data/postgresql PGHOST=/tmp
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
ask() { as psql -X -A -t -d postgres -c "$1"; }
start() { as pg_ctl -w -t 1500 -l /tmp/postgresql.log -o '-c listen_addresses= -k /tmp' start >/dev/null; }

install -d -o postgres -g postgres -m 700 $PGDATA
as initdb -A trust -k --locale=C.UTF-8 --no-instructions >/dev/null
start
as pgbench -i -s 1 -q postgres 2>/dev/null
answer "accounts $(ask 'select count(*), sum(abalance) from pgbench_accounts')"
as pgbench -n -c 4 -t 50 postgres >/dev/null 2>&1
answer "history $(ask 'select count(*) from pgbench_history')"
answer "sums agree $(ask 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)')"

ask 'create table marks as select n, md5(n::text) word from generate_series(1, 5000) n' >/dev/null
ask 'create index on marks (word)' >/dev/null
as pgbench -n -c 4 -T 600 postgres >/dev/null 2>&1 &
until [ "$(ask 'select count(*) > 220 from pgbench_history')" = t ]; do sleep 0.2; done
kill -KILL "$(head -1 $PGDATA/postmaster.pid)"
wait || true
while pgrep -x postgres >/dev/null; do sleep 0.1; done
start
grep -q 'was not properly shut down' /tmp/postgresql.log && answer 'recovered after SIGKILL'
answer "marks $(ask 'select count(*), min(word), max(word) from marks')"
answer "by index $(ask "select n from marks where word = md5('4711')")"
answer "sums agree $(ask 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)')"
answer "branches agree $(ask 'select (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)')"
as pg_ctl -w -t 1500 -m fast stop >/dev/null
answer "checksums: $(as pg_checksums --check -D $PGDATA | sed -n 's/^Bad checksums: */bad /p')"
