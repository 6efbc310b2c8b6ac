/**
 * Binds the charts' named stubs to the runtimes: the one place where machines and effects meet.
 *
 * Done once per registry, not per sandbox: an effect finds its runtime by the ids in its input.
 */
import { fromEventObservable, fromPromise } from "xstate";
import { containerMachine } from "../../machines/container.machine.ts";
import type { EffectInput } from "../../machines/effects.ts";
import { processMachine } from "../../machines/process.machine.ts";
import { sandboxMachine } from "../../machines/sandbox.machine.ts";
import type { SandboxEvent } from "../../machines/sandbox.setup.ts";
import type { ContainerRuntime } from "../container/container.actor.ts";
import type { SandboxRuntime } from "./sandbox.actor.ts";

/** Finds the runtime behind an effect's input. */
export interface RuntimeIndex {
  sandbox(id: string): SandboxRuntime;
  container(sandboxId: string, containerId: string): ContainerRuntime;
}

/** The sandbox chart with real effects. */
export function bindSandboxMachine(index: RuntimeIndex): typeof sandboxMachine {
  const effect = <Output>(run: (sandbox: SandboxRuntime, signal: AbortSignal) => Promise<Output>) =>
    fromPromise<Output, EffectInput>(({ input, signal }) => run(index.sandbox(input.sandboxId), signal));
  const containerOf = ({ sandboxId, containerId }: EffectInput): ContainerRuntime =>
    index.container(sandboxId, containerId ?? "");

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
  const boundContainer = containerMachine.provide({
    actors: {
      create: fromPromise<void, EffectInput>(({ input, signal }) => containerOf(input).create(signal)),
      remove: fromPromise<void, EffectInput>(({ input, signal }) => containerOf(input).remove(signal)),
      process: boundProcess,
    },
  });
  return sandboxMachine.provide({
    actors: {
      provision: effect((sandbox, signal) => sandbox.provision(signal)),
      acquire: effect((sandbox, signal) => sandbox.acquire(signal)),
      adopt: effect((sandbox, signal) => sandbox.adopt(signal)),
      fork: effect((sandbox, signal) => sandbox.fork(signal)),
      launch: effect((sandbox, signal) => sandbox.launch(signal)),
      connectAgent: effect((sandbox, signal) => sandbox.connectAgent(signal)),
      setUpGuest: effect((sandbox, signal) => sandbox.setUpGuest(signal)),
      stopContainers: effect((sandbox, signal) => sandbox.stopContainers(signal)),
      shutDownGuest: effect((sandbox, signal) => sandbox.shutDownGuest(signal)),
      endVmm: effect((sandbox) => sandbox.endVmm()),
      tearDownNetwork: effect((sandbox) => sandbox.tearDownNetwork()),
      tearDownStorage: effect((sandbox) => sandbox.tearDownStorage()),
      vmm: fromEventObservable<SandboxEvent, EffectInput>(({ input }) =>
        index.sandbox(input.sandboxId).vmmEvents$(),
      ),
      agent: fromEventObservable<SandboxEvent, EffectInput>(({ input }) =>
        index.sandbox(input.sandboxId).guestEvents$(),
      ),
      container: boundContainer,
    },
    actions: {
      endTurn: ({ context }) => index.sandbox(context.sandboxId).endTurn(),
      reportFallback: ({ context }, { error }) =>
        index
          .sandbox(context.sandboxId)
          .logger.warn({ err: error }, "the quick way to a VM failed; taking the next one"),
    },
  });
}
