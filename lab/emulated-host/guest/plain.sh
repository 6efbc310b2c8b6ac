#!/run/lab/busybox sh
# PID 1 of a plain emulated host: what an init and udev do for a node, then the command, and nothing else. While it waits it
# takes in processes that have lost their parent.
b=/run/lab/busybox

$b hostname emulated-host
$b ip link set lo up
ulimit -n 65536
echo /run/lab/modprobe.sh > /proc/sys/kernel/modprobe
for module in kvm-amd tun vhost_net vhost_vsock loop fuse; do $b modprobe "$module"; done

# as udev's rules have it, or udev's own default where there is no such group
group=$($b sed -n 's/^kvm:[^:]*:\([0-9]*\):.*/\1/p' /etc/group)
if [ -n "$group" ]; then
  $b chown "0:$group" /dev/kvm && $b chmod 660 /dev/kvm
else
  $b chmod 666 /dev/kvm
fi
$b chmod 666 /dev/net/tun /dev/fuse /dev/vhost-net /dev/vhost-vsock
$b mount -t debugfs debugfs /sys/kernel/debug
$b mount -t tracefs tracefs /sys/kernel/tracing

$b sh /run/lab/run.sh &
wait $!
# the machine ends it when it has heard all; this is for when it has not
$b sleep 10
$b poweroff -f
