/**
 * What the facts of a journal say of a sandbox's VM: read by a daemon that takes over from an earlier one.
 *
 * Every fact is checked. One that is garbage is as if it were not there. What the VMM and the guest say counts more.
 */
import { MAX_ID_MAPPINGS } from "../../../contracts/id-maps.ts";
import type { ShareKind } from "../../../contracts/share-kind.ts";
import {
  array,
  boolean,
  type Check,
  integer,
  isRecord,
  object,
  oneOf,
  optional,
  string,
} from "../../../protocol/wire/json.ts";
import type { CopiedEntry, InsideFact, ShareFact, VmFact, VolumeFact } from "../../resources/facts.ts";

type Facts = ReadonlyMap<string, unknown>;

const id = object({ uid: integer(), gid: integer() });
const image = object({ key: string, serial: string });
const mappings = array(
  object({ containerId: integer(), hostId: integer(), size: integer() }),
  MAX_ID_MAPPINGS,
);
const maps = optional(object({ uids: mappings, gids: mappings }));

const vmFact: Check<VmFact> = object({
  id: string,
  pid: integer(1),
  startTime: integer(),
  source: oneOf("boot", "clone", "fork"),
  template: optional(string),
  shape: object({ vcpus: integer(1), memoryBytes: integer(1), nics: integer() }),
  nics: array(object({ tap: string, namespace: string })),
  image: optional(image),
  directory: string,
  shareDirectory: string,
  volumesDirectory: string,
  user: optional(id),
  mark: optional(string),
});

const shareFact: Check<ShareFact> = object({ maps });
const insideFact: Check<InsideFact> = object({ disk: string, images: array(image), volumes: array(string) });

const ENTRY = [string, oneOf("directory", "file", "link"), integer(), integer(), integer(), string] as const;

const entry: Check<CopiedEntry> = (value, path) => {
  const list = array((each) => each, ENTRY.length)(value, path);
  for (const [index, check] of ENTRY.entries()) check(list[index], `${path}[${index}]`);
  return list as unknown as CopiedEntry;
};

const VOLUMES: { readonly [Kind in VolumeFact["kind"]]: Check<VolumeFact> } = {
  copied: object({
    kind: oneOf("copied"),
    key: string,
    source: string,
    entries: optional(array(entry)),
    maps,
  }),
  file: object({
    kind: oneOf("file"),
    key: string,
    source: string,
    version: string,
    writtenBack: boolean,
  }),
  memory: object({ kind: oneOf("memory"), key: string, bytes: integer(), paths: array(string) }),
  shared: object({ kind: oneOf("shared"), key: string }),
};

const volumeKind = object({ kind: oneOf("copied", "file", "memory", "shared") });

function volumeFact(value: unknown, path: string): VolumeFact {
  const { kind } = volumeKind(isRecord(value) ? { ...value } : value, path);
  return VOLUMES[kind](value, path);
}

/** The facts of a VM that are none of garbage. */
export class VmFacts {
  constructor(private readonly facts: Facts) {}

  get vm(): VmFact | undefined {
    return this.read("vm", vmFact);
  }

  share(kind: ShareKind): ShareFact | undefined {
    return this.read(`share/${kind}`, shareFact);
  }

  inside(container: string): InsideFact | undefined {
    return this.read(`inside/${container}`, insideFact);
  }

  /** By the guest's names. */
  get volumes(): ReadonlyMap<string, VolumeFact> {
    const found = new Map<string, VolumeFact>();
    for (const name of this.namesOf("volume")) {
      const fact = this.read(`volume/${name}`, volumeFact);
      if (fact !== undefined) found.set(name, fact);
    }
    return found;
  }

  /** Ids of containers that have a fact of what they have of the VM. */
  get containers(): readonly string[] {
    return this.namesOf("inside");
  }

  /** The highest number of a stream that a process has been given. */
  get lastStream(): number {
    let last = 0;
    for (const name of this.facts.keys()) {
      const fact = name.startsWith("process/") ? this.facts.get(name) : undefined;
      const streams = isRecord(fact) && isRecord(fact["streams"]) ? Object.values(fact["streams"]) : [];
      for (const each of streams) if (typeof each === "number") last = Math.max(last, each);
    }
    return last;
  }

  private namesOf(kind: string): string[] {
    const prefix = `${kind}/`;
    return [...this.facts.keys()].flatMap((name) =>
      name.startsWith(prefix) ? [name.slice(prefix.length)] : [],
    );
  }

  private read<Fact>(name: string, check: Check<Fact>): Fact | undefined {
    try {
      return check(this.facts.get(name), name);
    } catch {
      return undefined;
    }
  }
}
