#!/run/lab/busybox sh
# What the kernel calls for a module; the machine may have no modprobe(8).
exec /run/lab/busybox modprobe "$@"
