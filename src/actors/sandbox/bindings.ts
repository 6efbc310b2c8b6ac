/**
 * Binds the charts' named stubs to the actors: the one place where the sandbox's charts and their effects meet.
 *
 * Done once per registry, not per sandbox: an effect finds its sandbox or container by the ids in its input.
 */
import { fromEventObservable, fromPromise } from "xstate";
import type { Backend } from "../../backends/backend.ts";
import { containerMachine } from "../../machines/container.machine.ts";
import { type EffectInput, forEachEffect } from "../../machines/effects.ts";
import { processMachine } from "../../machines/process.machine.ts";
import { sandboxMachine } from "../../machines/sandbox.machine.ts";
import { SANDBOX_EFFECTS, type SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { Container } from "../container/container.actor.ts";
import type { Sandbox } from "./sandbox.actor.ts";

/** Finds what is behind an effect's input. */
export interface ActorIndex {
  sandbox(id: string): Sandbox;
  container(id: string): Container;
}

/** The sandbox chart with real effects. */
export function bindSandboxMachine(
  index: ActorIndex,
  { boot }: Pick<Backend, "boot">,
): typeof sandboxMachine {
  return sandboxMachine.provide({
    actors: {
      ...forEachEffect(SANDBOX_EFFECTS, (name) =>
        fromPromise<void, EffectInput>(({ input, signal }) => index.sandbox(input.sandboxId)[name](signal)),
      ),
      adopt: fromPromise<{ pid: number }, EffectInput>(({ input, signal }) =>
        index.sandbox(input.sandboxId).adopt(signal),
      ),
      boot,
      vmm: fromEventObservable<SandboxEvent, EffectInput>(({ input }) =>
        index.sandbox(input.sandboxId).backend.vmmEvents$(),
      ),
      agent: fromEventObservable<SandboxEvent, EffectInput>(({ input }) =>
        index.sandbox(input.sandboxId).backend.agentEvents$(),
      ),
      container: bindContainerMachine((id) => index.container(id)),
    },
    actions: {
      endBoot: ({ context }) => index.sandbox(context.sandboxId).backend.endBoot(),
    },
  });
}

function bindContainerMachine(find: (id: string) => Container): typeof containerMachine {
  const containerOf = ({ containerId = "" }: EffectInput): Container => find(containerId);
  const boundProcess = processMachine.provide({
    actors: {
      start: fromPromise<void, EffectInput>(({ input, signal }) =>
        containerOf(input).start(input.execId ?? "", signal),
      ),
    },
    actions: {
      announceStart: ({ context }) => containerOf(context).announceStart(context),
      announceExit: ({ context }) => containerOf(context).announceExit(context),
    },
  });
  return containerMachine.provide({
    actors: {
      create: fromPromise<void, EffectInput>(({ input, signal }) => containerOf(input).create(signal)),
      remove: fromPromise<void, EffectInput>(({ input, signal }) => containerOf(input).remove(signal)),
      process: boundProcess,
    },
    actions: { announceOom: ({ context }) => containerOf(context).announceOom() },
  });
}
