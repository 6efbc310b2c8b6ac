/**
 * The configuration of a private node's blazard, as TOML: everything in the node's directory, and a verbose log.
 */
import { join } from "node:path";
import { patientDeadlines } from "../host/patience.ts";

/** Keys of blazard's configuration, by section. */
export type NodeConfig = Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>;

/** Where a node has its files. */
export interface NodePlaces {
  readonly directory: string;
  readonly stateDirectory: string;
  readonly scratchDirectory: string;
  readonly containerdDirectory: string;
}

/** The whole file. The keys given win over the node's own. */
export function blazardConfig(places: NodePlaces, given: NodeConfig): string {
  const own: NodeConfig = {
    daemon: {
      state_directory: places.stateDirectory,
      containerd_socket: join(places.containerdDirectory, "state", "containerd.sock"),
      log_level: "debug",
    },
    storage: { scratch_directory: places.scratchDirectory },
    image: { directory: join(places.directory, "images") },
    // building a template behind the first pod would slow down what is shown
    template: { enabled: false, directory: join(places.directory, "templates") },
    ...expectedAcceleration(),
    deadlines: patientDeadlines(),
  };
  return toml({ ...given, ...merged(own, given) });
}

/** The tests' own wish (test/README.md): a node that cannot have it does not start. */
function expectedAcceleration(): NodeConfig {
  const acceleration = process.env["BLAZAR_TEST_ACCELERATION"];
  return acceleration === undefined ? {} : { vmm: { acceleration } };
}

function merged(own: NodeConfig, given: NodeConfig): NodeConfig {
  return Object.fromEntries(Object.entries(own).map(([name, keys]) => [name, { ...keys, ...given[name] }]));
}

/** Tables of strings, numbers and booleans: JSON writes these as TOML does. */
export function toml(config: NodeConfig): string {
  const table = (keys: NodeConfig[string]) =>
    Object.entries(keys).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  return Object.entries(config)
    .map(([name, keys]) => `[${name}]\n${table(keys).join("")}`)
    .join("\n");
}
