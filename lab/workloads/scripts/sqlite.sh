# four writers at once on one database in WAL mode, whose index is a file that they map; then its integrity
set -e
database=/data/test.db
ask() { sqlite3 -batch -cmd '.timeout 120000' $database "$@"; }
answer "mode $(ask 'pragma journal_mode=wal')"
ask 'create table entries (writer integer, n integer, word text); create index words on entries (word)'
for writer in 1 2 3 4; do
  for n in $(seq 60); do
    echo "insert into entries values ($writer, $n, '$writer-$n');"
  done | ask >/tmp/writer-$writer 2>&1 &
done
wait
answer "said '$(cat /tmp/writer-*)'"
answer "rows $(ask 'select count(*), count(distinct word), sum(n) from entries')"
answer "integrity $(ask 'pragma integrity_check')"
ask 'begin; delete from entries where n > 30; rollback; delete from entries where n > 50'
answer "checkpoint $(ask 'pragma wal_checkpoint(truncate)')"
answer "rows $(ask 'select count(*), max(n) from entries'), integrity $(ask 'pragma integrity_check')"
