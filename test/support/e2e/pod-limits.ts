/** Changes the limits of a pod that runs, whatever containerd passes on. */
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import {
  ControllerService,
  ControllerUpdateRequest,
} from "../../../src/rpc/generated/containerd/services/sandbox/v1/controller.ts";
import { callUnary } from "../../../src/rpc/grpc/unary.ts";
import type { TestNode, TestPod } from "./node.ts";

/** What containerd 2.3 sends for UpdatePodSandboxResources. */
export async function updateLimits(
  node: TestNode,
  pod: TestPod,
  resources: Record<string, number>,
): Promise<void> {
  const client = new Client(
    `unix:${join(node.node.stateDirectory, "blazar.sock")}`,
    credentials.createInsecure(),
  );
  const extension = {
    typeUrl: "io.containerd.cri.v1/UpdatedResources",
    value: Buffer.from(JSON.stringify({ Overhead: null, Resources: resources })),
  };
  const request = ControllerUpdateRequest.fromPartial({
    ...{ sandboxId: pod.id, sandboxer: "blazar", fields: ["extensions"] },
    sandbox: { sandboxId: pod.id, extensions: { "updated-resources": extension } },
  });
  try {
    await callUnary(client, ControllerService.update, request);
  } finally {
    client.close();
  }
}
