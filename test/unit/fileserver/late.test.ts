/** Requests of a guest that wait in children of its file server. */
import { beforeEach, expect, test, vi } from "vitest";

const started = vi.hoisted(() => ({ children: 0 }));
vi.mock("sys", () => ({ pipe2: () => [3, 4], ENOLCK: 37, O_NONBLOCK: 0 }));
vi.mock("../../../native/runtime/child.ts", () => ({ cloneChild: () => ++started.children }));

const { Late } = await import("../../../fileserver/late.ts");
const ENOLCK = 37;

beforeEach(() => {
  started.children = 0;
});

test("as many wait as may, and no more", () => {
  const late = new Late(5);
  const results = Array.from({ length: 100 }, (_, unique) => late.start(unique, () => 0));
  expect(results.filter((result) => result === 0)).toHaveLength(64);
  expect(results.at(-1)).toBe(-ENOLCK);
  expect(started.children).toBe(64);
});

test("a guest that uses one number again and again starts one child", () => {
  const late = new Late(5);
  expect(late.start(7, () => 0)).toBe(0);
  for (let again = 0; again < 100; again++)
    expect(() => late.start(7, () => 0)).toThrow(expect.objectContaining({ name: "Malformed" }));
  expect(started.children).toBe(1);
  expect(late.count).toBe(1);
});
