/**
 * What a run of critest came to, case by case: out of Ginkgo's JSON report (onsi.github.io/ginkgo, `--json-report`).
 */
import { readFile } from "node:fs/promises";
import { blazarError } from "../../src/contracts/errors.ts";

export type Outcome = "passed" | "failed" | "skipped";

export interface CaseResult {
  readonly outcome: Outcome;
  /** Why it failed or was skipped; "" if it passed. */
  readonly message: string;
  readonly seconds: number;
}

/** Results by the case's name. */
export type Results = ReadonlyMap<string, CaseResult>;

/** The part of Ginkgo's report that is read here. */
interface SpecReport {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  /** In nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string };
}

/** Reads a report. Throws if there is none: critest then did not get as far as its first case. */
export async function readResults(file: string): Promise<Results> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw blazarError("HostResource", "read critest's report", "critest has not written one", {
      subject: file,
      cause,
    });
  });
  return resultsOf(text);
}

/** @param report Ginkgo's JSON: an array of suites */
export function resultsOf(report: string): Results {
  const suites = JSON.parse(report) as { SpecReports: SpecReport[] | null }[];
  const specs = suites.flatMap(({ SpecReports }) => SpecReports ?? []);
  return new Map(
    specs
      .filter(({ LeafNodeType }) => LeafNodeType === "It")
      // those that a filter left out have no message and did not run
      .filter(({ State, Failure }) => State !== "skipped" || (Failure?.Message ?? "") !== "")
      .map((spec) => [nameOf(spec), resultOf(spec)]),
  );
}

function nameOf({ ContainerHierarchyTexts, LeafNodeText }: SpecReport): string {
  const words = [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(" ");
  return words
    .replace(/^\[k8s\.io\] /, "")
    .replaceAll(" [Conformance]", "")
    .trim();
}

function resultOf({ State, RunTime, Failure }: SpecReport): CaseResult {
  const outcome =
    State === "passed" || State === "skipped" ? State : State === "pending" ? "skipped" : "failed";
  const message = outcome === "passed" ? "" : (Failure?.Message ?? State);
  return { outcome, message, seconds: RunTime / 1e9 };
}
