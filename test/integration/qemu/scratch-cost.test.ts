import { mkdir, readFile } from "node:fs/promises";
import { it } from "vitest";
import { greet, TemplateBench } from "../../support/bench/template.ts";

const COUNTS = [0, 1, 8];
const pss = async (pid: number) =>
  Number(/^Pss:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
const med = (v: number[]) => [...v].sort((a, b) => a - b)[Math.floor(v.length / 2)] ?? 0;
it("costs", async () => {
  const bench: any = await TemplateBench.start();
  const out: string[] = [];
  const templates: Record<number, string> = {};
  for (const n of COUNTS) {
    const t = await bench.directory();
    const ready = async (vm: any) => {
      const link = await greet(vm);
      await link.request("ping", {}, { deadlineMs: 30000 });
      await link.request(
        "disk.prepare",
        { diskSerial: bench.templates.diskId, filesystem: "ext4" },
        { deadlineMs: 30000 },
      );
      link.close();
    };
    const steps = await bench.templates.build(
      { vcpus: 1, memoryBytes: 192 * 2 ** 20, nics: n },
      t,
      ready,
      new AbortController().signal,
    );
    templates[n] = t;
    out.push(`template ${n}: ${steps.map((s: any) => `${s.step} ${s.ms.toFixed(0)}`).join(", ")}`);
  }
  const measure = async (spec: any, launch: any) => {
    const started = performance.now();
    const vm = await launch(spec);
    const link = await greet(vm);
    const hello = performance.now() - started;
    const steps = Object.fromEntries(vm.timeline.map((s: any) => [s.step, s.ms]));
    const { timeline } = await link.hello;
    link.close();
    const p = await pss(vm.identity.pid);
    const t0 = performance.now();
    await vm.kill();
    return {
      ...steps,
      hello,
      pss: p,
      kill: performance.now() - t0,
      ...Object.fromEntries(Object.entries(timeline).map(([k, v]) => [`g.${k}`, v])),
    } as Record<string, number>;
  };
  const report = (name: string, n: number, rows: Record<string, number>[]) => {
    const keys = Object.keys(rows[0] ?? {});
    out.push(
      `${name} nics=${n} (${rows.length}): ${keys.map((k) => `${k} ${med(rows.map((r) => r[k] ?? 0)).toFixed(1)}`).join(", ")}`,
    );
  };
  const rounds: Record<string, Record<number, Record<string, number>[]>> = { boot: {}, clone: {}, fork: {} };
  const push = (k: string, n: number, r: any) => (rounds[k]![n] ??= []).push(r);
  const plain = async (): Promise<any> => bench.spec();
  for (let i = 0; i < 4; i++)
    for (const n of COUNTS)
      push("boot", n, await measure({ ...(await plain()), nics: n }, (s: any) => bench.driver.launch(s)));
  for (let i = 0; i < 15; i++)
    for (const n of COUNTS)
      push(
        "clone",
        n,
        await measure({ ...(await bench.cloneSpec(templates[n])), nics: n }, (s: any) =>
          bench.driver.launch(s),
        ),
      );
  const originals: Record<number, any> = {};
  for (const n of COUNTS) {
    const vm = await bench.forks.launchOriginal({ ...(await bench.cloneSpec(templates[n])), nics: n });
    const link = await greet(vm);
    await link.request("ping", {}, { deadlineMs: 30000 });
    link.close();
    await bench.forks.completeOriginal(vm, new AbortController().signal);
    originals[n] = vm;
  }
  for (let i = 0; i < 15; i++)
    for (const n of COUNTS)
      push(
        "fork",
        n,
        await measure({ ...(await bench.forkSpec(originals[n])), nics: n }, (s: any) =>
          bench.driver.launch(s),
        ),
      );
  for (const k of Object.keys(rounds)) for (const n of COUNTS) report(k, n, rounds[k]![n] ?? []);
  console.log(out.join("\n"));
  for (const n of COUNTS) await originals[n].kill();
  await bench.dispose();
}, 600000);
