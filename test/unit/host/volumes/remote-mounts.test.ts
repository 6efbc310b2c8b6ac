/** What may not answer is known before it is asked. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { mayHang, readRemoteMounts } from "../../../../src/host/volumes/remote-mounts.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const POD = "/var/lib/kubelet/pods/7d1f";

it("mounts of servers and programs are remote, whatever else is mounted is not", async () => {
  const file = join(await temporaryDirectory(), "mountinfo");
  await writeFile(
    file,
    [
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
      `40 22 0:50 / ${POD}/volumes/kubernetes.io~nfs/a\\040b rw shared:9 - nfs4 server:/x rw`,
      "41 22 0:51 / /mnt/bucket rw - fuse.s3 s3 rw",
      "42 22 0:52 / /run rw - tmpfs tmpfs rw",
      "43 22 0:53 / /proc/sys/fs/binfmt_misc rw shared:1 master:2 - autofs systemd-1 rw",
      "",
    ].join("\n"),
  );
  expect(await readRemoteMounts(file)).toEqual([`${POD}/volumes/kubernetes.io~nfs/a b`, "/mnt/bucket"]);
  expect(await readRemoteMounts()).not.toContain("/proc");
});

it.each([
  ["a volume of kubelet's on a disk", `${POD}/volumes/kubernetes.io~empty-dir/d`, false],
  ["kubelet's hosts file", `${POD}/etc-hosts`, false],
  ["a volume on a server", `${POD}/volumes/kubernetes.io~nfs/v`, true],
  ["what is below one", `${POD}/volumes/kubernetes.io~nfs/v/sub`, true],
  ["one of which the name begins in the same way", `${POD}/volumes/kubernetes.io~nfs/v2`, false],
  ["one of a kubelet whose directory is a link", "/data/kubelet/pods/7d1f/volumes/kubernetes.io~nfs/v", true],
  [
    "what containerd has made for an image's volume",
    `/var/lib/c/containers/${"a".repeat(64)}/volumes/x`,
    false,
  ],
  ["a path of the host, which may have a link in it", "/data/x", true],
])("%s: %s may not answer: %s", (_, source, answer) => {
  expect(mayHang(source, [`${POD}/volumes/kubernetes.io~nfs/v`])).toBe(answer);
  expect(mayHang(source, [])).toBe(false);
});
