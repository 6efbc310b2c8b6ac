#!/run/lab/busybox sh
# Runs the command of an emulated host with its standard streams on virtio ports: 1 stdin, 2 stdout, 3 stderr, 4 what both
# sides tell each other; or with a terminal on /dev/hvc0. A stream ends with a word that no command knows (job.ts), because a
# port has no end. An exit status is told when all of the output is on its way.
. /run/lab/job
b=/run/lab/busybox
# a port can be open only once
exec 4<> /dev/vport0p4

# relay PORT FIFO
relay() {
  {
    $b cat "$2" &
    echo $! > "$2.pid"
    wait $!
    printf %s "$END"
  } > "$1"
}

# whatever holds the streams after the command's end holds them for two seconds
release() {
  $b sleep 2
  for name in out err; do kill "$($b cat "/run/lab/$name.pid")" 2> /dev/null; done
}

if [ "$TERMINAL" = 1 ]; then
  until [ -c /dev/hvc0 ]; do $b usleep 10000; done
  $b stty -F /dev/hvc0 sane rows "$ROWS" cols "$COLUMNS"
  while read -r _ rows columns <&4; do $b stty -F /dev/hvc0 rows "$rows" cols "$columns"; done &
  [ "$KIND" = systemd ] && set -- systemd-run --quiet --collect --wait --pty
  echo up >&4
  $b setsid -c "$@" /bin/sh /run/lab/command < /dev/hvc0 > /dev/hvc0 2>&1 4>&-
  status=$?
  $b stty -F /dev/hvc0 raw -echo
  printf %s "$END" > /dev/hvc0
else
  cd /run/lab
  $b mkfifo in out err
  [ "$KIND" = systemd ] && set -- systemd-run --quiet --collect --wait --pipe
  $b cat /dev/vport0p1 > in 4>&- &
  relay /dev/vport0p2 out 4>&- &
  out=$!
  relay /dev/vport0p3 err 4>&- &
  err=$!
  echo up >&4
  # a shell with children would be interrupted in the middle of opening a FIFO
  (exec "$@" /bin/sh /run/lab/command < in > out 2> err 4>&-)
  status=$?
  release 4>&- &
  wait $out $err
fi
echo "exit $status" >&4
