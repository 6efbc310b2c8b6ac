/** Logs in the state directory stay small, whatever writes into them. */
import { appendFile, mkdir, open, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { BoundedLogs, KEPT_LOG_BYTES, MOST_LOG_BYTES } from "../../../src/host/bounded-logs.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

it("cuts a log that is too large to its end, under its writer, and touches nothing else", async () => {
  const state = await temporaryDirectory();
  const vm = join(state, "vm", "a");
  await mkdir(vm, { recursive: true });
  const log = join(vm, "qemu.log");
  const writer = await open(log, "a");
  await writer.write(`${"x".repeat(MOST_LOG_BYTES)}the last words`);
  const large = "y".repeat(MOST_LOG_BYTES + 1);
  await writeFile(join(vm, "disk.img"), large);
  const elsewhere = join(await temporaryDirectory(), "secret");
  await writeFile(elsewhere, large);
  await symlink(elsewhere, join(vm, "other.log"));
  await appendFile(join(state, "keeper.log"), "small\n");
  await new BoundedLogs(state).look();
  await writer.write(" and one more");
  await writer.close();
  const text = await readFile(log, "utf8");
  expect(text).toHaveLength(KEPT_LOG_BYTES + " and one more".length);
  expect(text.endsWith("the last words and one more")).toBe(true);
  expect((await stat(join(vm, "disk.img"))).size).toBe(large.length);
  expect((await stat(elsewhere)).size).toBe(large.length);
  expect(await readFile(join(state, "keeper.log"), "utf8")).toBe("small\n");
});
