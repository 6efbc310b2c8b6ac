/** One gRPC call as a promise: given up at the abort, and no listener is left on the signal. */
import { getEventListeners } from "node:events";
import type { Client, ServiceError } from "@grpc/grpc-js";
import { describe, expect, it, vi } from "vitest";
import { callUnary } from "../../../src/rpc/grpc/unary.ts";

const method = {
  path: "/s/M",
  requestSerialize: (text: string) => Buffer.from(text),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

type Answer = (error: ServiceError | null, response?: string) => void;

/** A client whose one call is answered by `answer`. grpc-js answers a cancelled call as well. */
function oneCall() {
  let answer: Answer = () => undefined;
  const gone = Object.assign(new Error("cancelled"), { code: 1 }) as ServiceError;
  const cancel = vi.fn(() => answer(gone));
  const client = {
    makeUnaryRequest: (...args: unknown[]) => {
      answer = args.at(-1) as Answer;
      return { cancel };
    },
  } as unknown as Client;
  return { client, cancel, answer: ((error, response) => answer(error, response)) as Answer };
}

describe("a unary call", () => {
  it("resolves to its answer, and no listener is left", async () => {
    const { client, answer, cancel } = oneCall();
    const { signal } = new AbortController();
    const call = callUnary(client, method, "ask", { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    answer(null, "answered");
    expect(await call).toBe("answered");
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(cancel).not.toHaveBeenCalled();
  });

  it("is cancelled at the abort", async () => {
    const { client, cancel } = oneCall();
    const controller = new AbortController();
    const call = callUnary(client, method, "ask", { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 1 });
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("is cancelled at once by a signal that is aborted already", async () => {
    const { client, cancel } = oneCall();
    await expect(callUnary(client, method, "ask", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 1,
    });
    expect(cancel).toHaveBeenCalledOnce();
  });

  it("that succeeds without an answer is an error that names the method", async () => {
    const { client, answer } = oneCall();
    const call = callUnary(client, method, "ask");
    answer(null);
    await expect(call).rejects.toThrow("/s/M succeeded without an answer");
  });
});
