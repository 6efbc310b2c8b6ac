/**
 * A daemon on a host in memory that dies, and the one after it.
 */
import type { ActorPorts, ActorSettings, Actors } from "../../../src/daemon/actors.ts";
import type { MemoryHost } from "./host.ts";
import { recoverMemory } from "./recover.ts";

/** A daemon that can die. */
export function mortalDaemon(host: MemoryHost, settings: Partial<ActorSettings> = {}): Actors {
  host.live();
  return host.actors(settings);
}

/**
 * The daemon dies here and now, and the next one starts: what it takes over is known, and the rest is undone.
 * @param different what the next one has of its own
 */
export async function nextDaemon(host: MemoryHost, different: Partial<ActorPorts> = {}): Promise<Actors> {
  host.restart();
  Object.assign(host.ports, different);
  const actors = host.actors();
  await recoverMemory(host, actors);
  return actors;
}
