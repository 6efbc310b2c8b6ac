#!/lab/busybox sh
# PID 1 of an emulated host's initramfs: gives it a root of its own, and starts what is PID 1 there.
#
# The machine is seen read-only by 9p. Its root, or an image of a small Debian, lies under an overlay in memory; so do the
# checkout and the cache, at the paths that they have on the machine. What differs from run to run comes by a port (job.ts).
export PATH=/bin
/lab/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

while read -r module; do insmod "/modules/$module"; done < /modules/order
until [ -c /dev/vport0p5 ]; do usleep 10000; done
cat /dev/vport0p5 > /lab/job
. /lab/job

mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 machine /machine
# memory is taken when something is written, and it is the machine's
mount -t tmpfs -o size=75% over /over
layers=0
# overlay LOWER TARGET
overlay() {
  layers=$((layers + 1))
  mkdir -p "/over/$layers/upper" "/over/$layers/work" "$2"
  mount -t overlay -o "lowerdir=$1,upperdir=/over/$layers/upper,workdir=/over/$layers/work" "over$layers" "$2"
}

if [ "$KIND" = systemd ]; then
  mkdir /image
  mount -t erofs -o ro /dev/vda /image
  overlay /image /newroot
else
  overlay /machine /newroot
fi

cd /newroot || exit
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm dev/mqueue dev/hugepages
mount -t devpts -o mode=620,gid=5,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777,size=75% tmp tmp
mount -t cgroup2 cgroup2 sys/fs/cgroup

# the machine's /run and /tmp are not seen, but for what is needed of them
for path in "$CHECKOUT" "$CACHE"; do overlay "/machine$path" "/newroot$path"; done
if [ "$KIND" = plain ]; then
  # the image has its own
  mkdir -p "lib/modules/$RELEASE"
  mount --bind "/machine$MODULES" "lib/modules/$RELEASE"
elif [ -n "$NODE" ]; then
  # the machine's: Debian's own may be too old
  mkdir -p usr/local/bin
  : > usr/local/bin/node
  mount --bind "/machine$NODE" usr/local/bin/node
fi
if [ -n "$OUTPUT" ]; then
  mkdir -p "$OUTPUT_AT"
  mount -t 9p -o trans=virtio,version=9p2000.L,cache=none,msize=512000 output "$OUTPUT_AT"
fi

cp -r /lab run/lab
printf '%s\n' "$COMMAND" > run/lab/command
cd /
if [ "$KIND" = systemd ]; then
  mkdir -p /newroot/run/systemd/system
  cp /lab/blazar-lab.service /lab/blazar-lab.target /newroot/run/systemd/system
  exec switch_root /newroot /lib/systemd/systemd --unit=blazar-lab.target
fi
exec switch_root /newroot /run/lab/busybox sh /run/lab/plain.sh
