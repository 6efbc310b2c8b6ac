/** Which sandboxes a daemon takes over, and which of their containers have lost their keeper. */
import { beforeEach, describe, expect, it } from "vitest";
import { stdioId } from "../../../../src/actors/resources/kinds/stdio.ts";
import type { LeftSandbox } from "../../../../src/actors/resources/known-sandbox.ts";
import { type TakingOver, takeOver } from "../../../../src/actors/sandbox/take-over.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";

interface Told {
  readonly adopted: string[];
  readonly bereaved: Record<string, readonly string[]>;
}

let told: Told;
let logger: CapturedLogger;

beforeEach(() => {
  told = { adopted: [], bereaved: {} };
  logger = new CapturedLogger();
});

/** Registries that know a sandbox's containers as soon as it is adopted. */
function actors(refuses: readonly string[] = []): TakingOver {
  const containers = new Map<string, { readonly id: string }[]>();
  const parts = {
    sandboxes: {
      adopt: ({ known }: LeftSandbox, fill: (sandbox: { readonly id: string }) => void) => {
        if (refuses.includes(known.spec.id)) throw blazarError("InvalidSpec", "take over", "garbage");
        fill({ id: known.spec.id });
        told.adopted.push(known.spec.id);
      },
    },
    tasks: {
      adopt: ({ id }: { readonly id: string }, found: LeftSandbox["known"]["containers"]) =>
        containers.set(id, [...found]),
    },
    containers: { of: (id: string) => containers.get(id) ?? [] },
    keeperDeath: {
      found: (id: string, lost: readonly { readonly id: string }[]) => {
        told.bereaved[id] = lost.map((container) => container.id);
      },
    },
  };
  return parts as unknown as TakingOver;
}

function left(id: string, phase: "ready" | "stopping" | "stopped", ...containers: string[]): LeftSandbox {
  const known = { spec: { id }, phase: { phase }, containers: containers.map((each) => ({ id: each })) };
  return { known } as unknown as LeftSandbox;
}

describe("taking over", () => {
  it("has every sandbox known when it returns, and none refused", () => {
    const found = [left("a", "ready"), left("b", "stopping"), left("c", "stopped")];
    expect(takeOver(actors(), found, [], logger)).toEqual([]);
    expect(told.adopted).toEqual(["a", "b", "c"]);
  });

  it("gives back what cannot be taken over, names it, and goes on with the rest", () => {
    const found = [left("a", "ready"), left("b", "ready"), left("c", "ready")];
    expect(takeOver(actors(["b"]), found, [], logger)).toEqual([found[1]]);
    expect(told.adopted).toEqual(["a", "c"]);
    expect(logger.lines).toMatchObject([
      {
        message: "a sandbox of a previous daemon cannot be taken over",
        fields: { sandbox: "b", err: { code: "InvalidSpec" } },
      },
    ]);
  });

  it("ends the containers whose streams the keeper does not have", () => {
    takeOver(actors(), [left("a", "ready", "c1", "c2")], [stdioId("c1", ""), stdioId("c2", "exec")], logger);
    expect(told.bereaved).toEqual({ a: ["c2"] });
  });

  it("leaves those of a sandbox alone that is on its way out", () => {
    takeOver(actors(), [left("a", "stopping", "c1"), left("b", "stopped", "c2")], [], logger);
    expect(told.bereaved).toEqual({});
  });
});
