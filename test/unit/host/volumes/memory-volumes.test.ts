/** The fake host of volumes does what a real one does. */
import { describe } from "vitest";
import { describeVolumes } from "../../../support/conformance/volumes.ts";
import { MemoryVolumes, volumeEntry } from "../../../support/memory-host/volumes.ts";

const POD = "/kubelet/pods/8a";

describe("volumes in memory", () => {
  describeVolumes(async () => {
    const volumes = new MemoryVolumes();
    return {
      volumes,
      projected: async (state, token) => {
        const source = `${POD}/volumes/kubernetes.io~projected/token`;
        volumes.putAtomic(source, state, { token });
        return source;
      },
      terminationLog: async () => {
        const source = `${POD}/containers/main/1a2b3c4d`;
        volumes.put(source, [volumeEntry("", "file", "")], { type: "file" });
        return source;
      },
      replace: async (path) => volumes.put(path, [volumeEntry("", "file", "", 2)], { type: "file" }),
      directory: async () => {
        volumes.put("/srv/data");
        return "/srv/data";
      },
      read: async (path) => volumes.written.get(path) ?? "",
      target: (name) => `/share/${name}`,
      bound: async () => [...volumes.mounts.keys()],
    };
  }, true);
});
