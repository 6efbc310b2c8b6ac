import { describe, expect, it } from "vitest";
import { ociSpecs } from "../../../src/oci/spec/translate.ts";
import { composeSpec, NO_DEFAULTS } from "../../../src/standalone/spec.ts";

const WANTED = { command: ["ls", "-l"], env: [], terminal: undefined, term: "xterm" };
const IMAGE = {
  entrypoint: ["/entry"],
  cmd: ["default"],
  env: ["A=image", "B=image"],
  workingDir: "/srv",
  user: "",
};

function processOf(...args: Parameters<typeof composeSpec>) {
  return ociSpecs.container(composeSpec(...args)).create.process;
}

describe("the spec of a standalone run", () => {
  it("is one that the translator takes without a warning", () => {
    const translated = ociSpecs.container(composeSpec(WANTED, NO_DEFAULTS));
    expect(translated.warnings).toEqual([]);
    expect(translated.create.process.args).toEqual(["ls", "-l"]);
    expect(translated.create.process.cwd).toBe("/");
  });

  it("does not make the command PID 1, which would be deaf to signals without handlers", () => {
    expect(ociSpecs.container(composeSpec(WANTED, NO_DEFAULTS)).create.pidNamespace).toBe("sandbox");
  });

  it("runs the image's entrypoint with the command as its arguments", () => {
    expect(processOf(WANTED, IMAGE).args).toEqual(["/entry", "ls", "-l"]);
    expect(processOf({ ...WANTED, command: [] }, IMAGE).args).toEqual(["/entry", "default"]);
    expect(processOf(WANTED, IMAGE).cwd).toBe("/srv");
  });

  it("lets the command line's variables win over the image's, and these over the defaults", () => {
    const { env } = processOf({ ...WANTED, env: ["B=mine", "PATH=/x"] }, IMAGE);
    expect(env).toEqual(["PATH=/x", "HOME=/root", "A=image", "B=mine"]);
  });

  it("gives a terminal its size and its kind", () => {
    const terminal = { rows: 30, columns: 100 };
    const process = processOf({ ...WANTED, terminal, term: "vt100" }, NO_DEFAULTS);
    expect(process).toMatchObject({ terminal: true, rows: 30, columns: 100 });
    expect(process.env).toContain("TERM=vt100");
  });

  it("takes the image's user as a number, and refuses a name that only the image knows", () => {
    expect(processOf(WANTED, { ...IMAGE, user: "1000:7" })).toMatchObject({ uid: 1000, gid: 7 });
    expect(processOf(WANTED, { ...IMAGE, user: "root" })).toMatchObject({ uid: 0, gid: 0 });
    expect(() => composeSpec(WANTED, { ...IMAGE, user: "www-data" })).toThrow(/www-data/);
  });

  it("is refused without anything to run", () => {
    expect(() => composeSpec({ ...WANTED, command: [] }, NO_DEFAULTS)).toThrow(/none is given/);
  });
});
