import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { nearest, parseConfig } from "../../../src/daemon/config/load.ts";
import { CONFIG_SCHEMA } from "../../../src/daemon/config/schema.ts";

const HOST = { memoryBytes: 8 * 2 ** 30 };

const refusal = (text: string): string => {
  try {
    parseConfig(text, "/etc/blazar.toml", HOST);
  } catch (error) {
    expect(error).toBeInstanceOf(BlazarError);
    expect(error).toMatchObject({ code: "InvalidConfig", details: { subject: "/etc/blazar.toml" } });
    return (error as BlazarError).message;
  }
  throw new Error("it was taken");
};

describe("a configuration", () => {
  it("that is empty has every default", () => {
    const config = parseConfig("", "f");
    expect(config.deadlines).toEqual(DEFAULT_DEADLINES);
    expect(config.vmm).toMatchObject({ vcpus: 1, memory: 256 * 2 ** 20, acceleration: "auto" });
    expect(config.daemon).toMatchObject({ state_directory: "/run/blazar", socket: undefined });
  });

  it("overrides key by key", () => {
    const config = parseConfig('[vmm]\nmemory = "1GiB"\nvcpus = 4\n[deadlines]\nlaunch = 5\n', "f");
    expect(config.vmm).toMatchObject({ memory: 2 ** 30, vcpus: 4, acceleration: "auto" });
    expect(config.deadlines).toEqual({ ...DEFAULT_DEADLINES, launch: 5 });
  });

  it("with an unknown key is refused by name, with the nearest known one", () => {
    expect(refusal('[vmm]\nmemroy = "1G"')).toContain("there is no vmm.memroy; did you mean memory?");
    expect(refusal("[vm]\nvcpus = 1")).toContain("there is no [vm]; did you mean vmm?");
    expect(refusal("[vmm]\nxylophone_of_doom = 1")).toMatch(/there is no vmm\.xylophone_of_doom;(?! did)/);
    expect(refusal("[vmm]\nconstructor = 1")).toContain("there is no vmm.constructor");
    expect(refusal("[constructor]\na = 1")).toContain("there is no [constructor]");
  });

  it.each([
    ["[vmm]\nvcpus = 0", "vmm.vcpus = 0"],
    ['[vmm]\nvcpus = "two"', "vmm.vcpus"],
    ["[pool]\nmax = -1", "pool.max = -1: it must be a whole number from 0 to 1000"],
    ["[pool]\nmax = 1.5", "a whole number"],
    ['[pool]\nmax = "3"', "a whole number"],
    ['[vmm]\nmemory = "much"', "256M"],
    ['[vmm]\nmemory = "1K"', 'vmm.memory = "1K": it must be at least 128M'],
    ["[vmm]\nmemory = 5", "it must be at least 128M"],
    ['[daemon]\nstate_directory = "run"', "absolute path"],
    ['[daemon]\nlog_level = "loud"', "daemon.log_level"],
    ["[keeper]\nstart = 1", "keeper.start"],
    ["[deadlines]\nlaunch = -1", "deadlines.launch"],
    [
      '[metrics]\nlisten = "0.0.0.0:9477"',
      'metrics.listen = "0.0.0.0:9477": it must be an address of the loopback and a port',
    ],
    ['[metrics]\nlisten = "9477"', "an address of the loopback"],
    ['[traces]\nendpoint = "127.0.0.1:4318"', "it must be a URL such as"],
    ['[traces]\nendpoint = "ftp://a"', "it must be a URL such as"],
    ['[traces]\nendpoint = "http://me:secret@a"', "without a password"],
    ["[traces]\nratio = 0", "traces.ratio"],
    ["vmm = 3", "vmm must be a table"],
    ["[vmm", "at line 1"],
  ])("%j is refused and says %j", (text, words) => {
    expect(refusal(text)).toContain(words);
  });

  test.prop([fc.string()])("made of anything is taken or refused by InvalidConfig", (text) => {
    try {
      parseConfig(text, "f");
    } catch (error) {
      expect(error).toMatchObject({ code: "InvalidConfig" });
    }
  });

  it.each([
    ['[daemon]\nstate_directory = "/"', "it must be a directory of Blazar's own"],
    ['[daemon]\nstate_directory = "/etc/"', "it must be a directory of Blazar's own"],
    ['[daemon]\nstate_directory = "/run"', "it must be a directory of Blazar's own"],
    ['[storage]\nscratch_directory = "/usr/lib/blazar"', "it must be a directory of Blazar's own"],
    ['[image]\ndirectory = "/var/lib"', "it must be a directory of Blazar's own"],
    ['[daemon]\nstate_directory = "/run//blazar"', "with single slashes"],
    ['[daemon]\nstate_directory = "/run/../"', 'without "." and ".."'],
    ['[image]\ndirectory = "/var/./images"', 'image.directory = "/var/./images": it must be written without'],
    ['[storage]\nscratch_directory = "/proc/self/cwd/scratch"', "nothing of Blazar's can be below /proc"],
    ['[template]\ndirectory = "/sys"', "nothing of Blazar's can be below /sys"],
    [`[daemon]\nstate_directory = "/${"s".repeat(79)}"`, "has 80 bytes: it must have 78 at most"],
    ['[daemon]\nstate_directory = "/run/a\\u0000b"', "must be an absolute path"],
    ["[vmm]\nmemory = 0", "it must be at least 128M"],
    ['[vmm]\nmemory = "9999999T"', 'must be a size such as "256M"'],
    ['[vmm]\nmemory = "9T"', "vmm.memory is 9437184M: the host has 8192M"],
    ['[vmm]\nmemory = "512M"\nmemory_limit = "256M"', "more than vmm.memory_limit, which is 256M"],
    ["[vmm]\nvcpus = 4\nvcpus_limit = 2", "more than vmm.vcpus_limit, which is 2"],
    ["[pool]\nmin = 1", "pool.min is 1, more than pool.max, which is 0"],
    ['[pool]\nmax = 1\nmemory_limit = "128M"', "not one VM of vmm.memory, which is 256M, fits into it"],
    ["[__proto__]\nmax = 1", "there is no [__proto__]"],
    ["[pool.__proto__]\nmax = 1", "there is no pool.__proto__"],
  ])("%j makes no sense: %j", (text, words) => {
    expect(refusal(text)).toContain(words);
  });

  it("may have its directories on a file system in memory", () => {
    const text = '[daemon]\nstate_directory = "/dev/shm/blazar/"';
    expect(() => parseConfig(text, "f", HOST)).not.toThrow();
  });

  it("has a type and a meaning for every key", () => {
    for (const keys of Object.values(CONFIG_SCHEMA)) {
      for (const key of Object.values(keys)) expect(key.type.length * key.doc.length).toBeGreaterThan(0);
    }
  });
});

describe("the nearest name", () => {
  it("is none where nothing is near", () => {
    expect(nearest("abc", ["memory", "kernel"])).toBeUndefined();
    expect(nearest("kernal", ["memory", "kernel"])).toBe("kernel");
  });
});
