import { join } from "node:path";
import { silentLogger } from "../../../../src/contracts/logger.ts";
import { InspectionClient } from "../../../../src/rpc/inspection/client.ts";
import { InspectionServer } from "../../../../src/rpc/inspection/server.ts";
import { told } from "../../../../src/rpc/told.ts";
import { type AskedInspection, describeInspection } from "../../../support/conformance/inspection.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { world } from "./world.ts";

function bench(inspection: AskedInspection, pods: ReturnType<typeof world>, dispose: () => Promise<void>) {
  const { sandboxes, tasks, hub } = pods;
  let count = 0;
  const call = <Result>(id: string, name: string, work: () => Promise<Result>) =>
    told(hub, id, name, {}, (within) => within(work));
  return {
    inspection,
    async startPod(name: string, namespace: string) {
      const id = `pod${count++}`;
      await call(id, "Controller.Create", () => sandboxes.create(podSpec(id, { name, namespace })));
      await call(id, "Controller.Start", () => sandboxes.start(id));
      await call(id, "Task.Create", () => tasks.create(containerRequest(id, `${id}c`)));
      await call(id, "Task.Start", () => tasks.start(`${id}c`, ""));
      return id;
    },
    async stopPod(id: string) {
      await call(id, "Controller.Stop", () => sandboxes.stop(id, 0));
      await call(id, "Controller.Shutdown", () => sandboxes.shutdown(id));
    },
    dispose,
  };
}

describeInspection("the daemon's inspection", async () => {
  const pods = world();
  return bench(pods.inspection, pods, async () => pods.inspection.close());
});

describeInspection("the daemon's inspection, over its socket", async () => {
  const pods = world();
  const socket = join(await temporaryDirectory(), "inspect.sock");
  const server = new InspectionServer({ inspection: pods.inspection, logger: silentLogger });
  await server.listen(socket);
  const client = new InspectionClient(socket);
  return bench(client, pods, async () => {
    client.close();
    pods.inspection.close();
    await server.close();
  });
});
