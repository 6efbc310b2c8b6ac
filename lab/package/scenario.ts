/**
 * What is done with the package on a Debian of its own, step by step, as one script for bash(1).
 *
 * The lines of docs/install.md are steps. Each step leaves its output and its exit status in the output directory; the first that
 * fails ends the script, because the others stand on it. test/package says what must have come of each.
 */
import { quoted } from "../emulated-host/job.ts";

export interface Step {
  readonly name: string;
  /** Shell; a command that fails ends it. */
  readonly script: string;
}

/** What the steps work with: paths that the emulated host has, too. */
export interface Material {
  readonly deb: string;
  readonly newerDeb: string;
  readonly newerVersion: string;
  readonly tarball: string;
  readonly crictl: string;
  /** A tar of the image that the example's container names. */
  readonly image: string;
}

/** The commands of the first block of shell on the page. */
export function installLines(page: string): string[] {
  const [, block = ""] = /^```sh\n([\s\S]*?)^```$/m.exec(page) ?? [];
  return block.split("\n").filter((line) => line !== "");
}

/** Traces of a package that has gone: files of its name, units, processes, mounts, control groups, users' slices. */
const LEFTOVERS = `
  find / -xdev -iname '*blazar*' -not -path '/proc/*' -not -path "$CHECKOUT" -not -path "$CHECKOUT/*" -not -path '/root/*' -not -path '/var/log/*' \\
    -not -path '/var/cache/apt/*' -not -path '/machine*' -not -path "$CACHE" -not -path "$CACHE/*" -not -path '/run/lab/*' -not -path '/run/systemd/*'
  find /var/lib /run -xdev -iname '*blazar*' -not -path '/run/lab*' -not -path '/run/systemd/*' -not -path '/var/lib/containerd/*'
  find /sys/fs/cgroup -iname '*blazar*' -not -path '*/blazar-lab*' || true
  pgrep -a 'qemu|keeper|pasta' || true
  grep blazar /proc/mounts | grep -v "$CHECKOUT\\|$CACHE" || true`;

/** The pod's own kernel has an id of its own, which stays as long as it does not boot again. */
const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";
const IN_POD = `crictl exec "$(crictl ps -q)" ${BOOT_ID}`;
const RUNS_ON = `test "$(${IN_POD})" = "$(cat /root/boot-id)" && echo "the same kernel"`;

export function steps(lines: readonly string[], material: Material): Step[] {
  const numbered = lines.map((script, index) => ({ name: `line-${index + 1}`, script }));
  const installs = lines.findIndex((line) => line.includes("blazar_")) + 1;
  return [
    { name: "prepare", script: prepare(material) },
    ...numbered.slice(0, installs),
    { name: "check-before", script: "blazar install --check -o json || echo exit $?" },
    { name: "patience", script: PATIENCE },
    // the lines share a shell's variables and directory
    {
      name: "lines",
      script: numbered
        .slice(installs)
        .map(({ name, script }) => `echo "# ${name}"\n${script}`)
        .join("\n"),
    },
    { name: "check-after", script: "blazar install --check -o json" },
    {
      name: "own-kernel",
      script: `crictl ps; ${IN_POD} > /root/boot-id; ${BOOT_ID} | diff -q - /root/boot-id || echo "another kernel"; blazar ps; blazar doctor > /root/doctor || true; grep daemon /root/doctor`,
    },
    {
      name: "restart-containerd",
      script: `systemctl restart containerd; crictl info > /dev/null; ${RUNS_ON}`,
    },
    {
      name: "restart-blazar",
      script: `systemctl restart blazar; ${RUNS_ON}; crictl ps -q | wc -l`,
    },
    {
      name: "upgrade",
      script: [
        ...[
          "keeper=$(systemctl show -P MainPID blazar-keeper)",
          "daemon=$(systemctl show -P MainPID blazar)",
        ],
        `apt-get install -y ${quoted(material.newerDeb)}`,
        'test "$keeper" = "$(systemctl show -P MainPID blazar-keeper)" && echo "the same keeper"',
        'test "$daemon" != "$(systemctl show -P MainPID blazar)" && echo "another daemon"',
        ...["blazar --version", "grep kvmProbe /etc/blazar/blazar.toml", RUNS_ON],
      ].join("\n"),
    },
    {
      name: "remove",
      script: `apt-get remove -y blazar; ls -d /var/lib/blazar /etc/blazar; systemctl is-active blazar blazar-keeper || true; ls /run/blazar /etc/containerd/conf.d 2>&1 || true; pgrep -a 'qemu|keeper' || echo "no process"`,
    },
    {
      name: "purge",
      script: `apt-get purge -y blazar > /dev/null; echo "left:"; ${LEFTOVERS}`,
    },
    {
      name: "tarball",
      script: [
        ...["sed -i /^imports/d /etc/containerd/config.toml", `tar -xzf ${quoted(material.tarball)} -C /`],
        "/usr/lib/blazar/install.sh --containerd",
        ...[
          "systemctl is-active blazar blazar-keeper containerd",
          "blazar install --check > /root/check || cat /root/check",
        ],
        // what containerd still had of the pod can go now that it has somebody to ask again
        "crictl rmp -fa",
        "/usr/lib/blazar/uninstall.sh --purge",
        `echo "left:"; ${LEFTOVERS}`,
      ].join("\n"),
    },
  ];
}

/** What a machine has, and an emulated host has not. */
function prepare({ crictl, deb, image }: Material): string {
  return `
  # an overlay cannot lie on the host's root, which is one
  mount -t tmpfs -o size=6G lib /mnt
  cp -a /var/lib/. /mnt
  mount --bind /mnt /var/lib
  umount /mnt
  ip link add uplink type bridge
  ip addr add 192.0.2.10/24 dev uplink
  ip link set uplink up
  ip route add default via 192.0.2.1
  install -m 755 ${quoted(crictl)} /usr/local/bin/crictl
  # there is no network to try again, and no disk to wait for
  echo 'Acquire::Retries "0";' > /etc/apt/apt.conf.d/no-network
  echo 'nameserver 127.0.0.1' > /etc/resolv.conf
  echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/no-disk
  # in an emulated host a call takes its time
  printf 'runtime-endpoint: unix:///run/containerd/containerd.sock\\ntimeout: 600\\n' > /etc/crictl.yaml
  # so does a unit's start, at which systemd would give up and begin anew; a drop-in of all units is no trace of the package
  mkdir -p /run/systemd/system/service.d
  printf '[Service]\\nTimeoutStartSec=900\\n' > /run/systemd/system/service.d/patience.conf
  systemctl daemon-reload
  cp ${quoted(deb)} ${quoted(image)} /root
  ls -l /dev/kvm`;
}

/** A guest's boot takes longer here than on hardware. */
const PATIENCE = `
  printf '\\n[deadlines]\\nkvmProbe = 300000\\n[template]\\nenabled = false\\n' >> /etc/blazar/blazar.toml
  systemctl restart blazar`;

/** The script; `$1` is the output directory. */
export function scenarioScript(all: readonly Step[], checkout: string, cache: string): string {
  const runs = all.map(({ name, script }) => `step ${name} <<'END-OF-STEP'\n${script}\nEND-OF-STEP\n`);
  return `#!/bin/bash
export CHECKOUT=${quoted(checkout)} CACHE=${quoted(cache)} DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset BLAZAR_CACHE BLAZAR_ROOT
output=$1
cd /root
step() {
  began=$SECONDS
  # a file, because a command could read what is left of its own script
  cat > /run/lab/step
  bash -e -o pipefail /run/lab/step > "$output/$1.out" 2>&1 < /dev/null
  status=$?
  echo $status > "$output/$1.status"
  echo "$1: exit $status after $((SECONDS - began)) s" >&2
  if [ $status -ne 0 ]; then
    tail -n 30 "$output/$1.out" >&2
    journalctl --no-pager -n 60 -u blazar -u blazar-keeper -u containerd >&2
    exit 1
  fi
}
${runs.join("\n")}`;
}
