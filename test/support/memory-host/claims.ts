/**
 * A host in memory beside the journals of its daemon: what is there that no journal names, and what is named and not there.
 */
import type { HostResource } from "../../../src/actors/resources/kinds/kinds.ts";
import type { MemoryHost } from "./host.ts";

/** What is no resource of a journal: it is the daemon's own, or on disk before a journal names it. */
const OTHERS = /^(?:journal|lease|user|watch|port-forward|nobody|\d+ turns)\b/;

/** What is on the host and in no journal. An intent is written first, so there is nothing at any time. */
export function unclaimed(host: MemoryHost): string[] {
  const claims = claimsOf(host).flatMap(namesOf);
  const exact = new Set(claims);
  const directories = claims.filter((name) => name.startsWith("directory "));
  return host
    .remains()
    .filter((name) => !OTHERS.test(name) && !exact.has(name))
    .filter((name) => !directories.some((each) => name.startsWith(`${each}/`)))
    .map((name) => `no journal names ${name}`);
}

/** What a journal names and is not on the host: nothing, when all is quiet and nothing has failed. */
export function missing(host: MemoryHost): string[] {
  const there = new Set(host.remains());
  return claimsOf(host)
    .filter((resource) => !namesOf(resource).some((name) => there.has(name)))
    .map((resource) => `${namesOf(resource)[0]} is in a journal only`);
}

function claimsOf({ journals }: MemoryHost): HostResource[] {
  return [...journals.values()].flatMap((journal) => journal.outstanding().map(({ resource }) => resource));
}

/** As {@link MemoryHost.remains} has it; one of several is enough. */
function namesOf(resource: HostResource): string[] {
  switch (resource.kind) {
    case "directory":
      return [`directory ${resource.path}`];
    case "file":
      return [`disk ${resource.path}`];
    case "image":
      return [`lease on image ${resource.key} of ${resource.holder}`];
    case "cgroups":
      return resource.directories.map((directory) => `cgroup ${directory}`);
    case "process":
      return [`VM ${resource.id}`, `process ${resource.id}`];
    case "network":
      return [`network ${resource.id}`];
    case "stdio":
      return [`stdio ${resource.id}`];
    case "volume":
      return [`volume ${resource.target}`];
    case "rootfs": {
      const { containerId, lower } = resource.plan;
      const share = lower?.kind === "share" ? [`rootfs ${lower.directory}`] : [];
      const image = lower?.kind === "image" ? [`lease on image ${lower.key} of ${containerId}`] : [];
      return [`layer of ${containerId}`, ...share, ...image];
    }
  }
}
