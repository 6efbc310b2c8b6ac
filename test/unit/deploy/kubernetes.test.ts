/** The manifests of deploy/kubernetes, by Kubernetes' own schemas (its OpenAPI, as kubernetes-models has it). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet";
import { RuntimeClass } from "kubernetes-models/node.k8s.io/v1/RuntimeClass";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { Pod } from "kubernetes-models/v1/Pod";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { repoRoot } from "../../../setup/lib/paths.ts";
import { productVersion } from "../../../setup/lib/version.ts";

const DIRECTORY = join(repoRoot(), "deploy", "kubernetes");
const FILES = readdirSync(DIRECTORY).filter((name) => name.endsWith(".yaml"));

interface Model {
  validate(): void;
  readonly metadata?: unknown;
}

const MODELS: Readonly<Record<string, new (data: never) => Model>> = {
  "v1 Namespace": Namespace,
  "v1 Pod": Pod,
  "apps/v1 DaemonSet": DaemonSet,
  "node.k8s.io/v1 RuntimeClass": RuntimeClass,
};

function documents(file: string): Readonly<Record<string, unknown>>[] {
  return parseAllDocuments(readFileSync(join(DIRECTORY, file), "utf8")).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Readonly<Record<string, unknown>>;
  });
}

function validated(document: Readonly<Record<string, unknown>>): void {
  const kind = `${String(document["apiVersion"])} ${String(document["kind"])}`;
  const model = MODELS[kind];
  if (model === undefined) throw new Error(`there is no model of ${kind} here`);
  new model(document as never).validate();
}

describe.each(FILES)("%s", (file) => {
  it("is what Kubernetes' schema asks for", () => {
    for (const document of documents(file)) validated(document);
  });
});

it("A schema finds what is wrong", () => {
  const [pod] = documents("pod.yaml");
  const spec = pod?.["spec"] as Readonly<Record<string, unknown>>;
  expect(() => validated({ ...pod, spec: { ...spec, containers: [{ image: "busybox" }] } })).toThrow(/name/);
  expect(() => validated({ ...pod, spec: { ...spec, runtimeClassName: 1 } })).toThrow(/runtimeClassName/);
});

it("The pod asks for the RuntimeClass that is there, and the installer's files are those of this version", () => {
  const [pod] = documents("pod.yaml");
  const [runtimeClass] = documents("runtimeclass.yaml");
  expect(runtimeClass).toMatchObject({ metadata: { name: "blazar" } });
  expect(pod).toMatchObject({ spec: { runtimeClassName: "blazar" } });
  const containerfile = readFileSync(join(DIRECTORY, "installer", "Containerfile"), "utf8");
  expect(containerfile).toContain(`blazar_${productVersion()}_amd64.tar.gz`);
  expect(readFileSync(join(DIRECTORY, "installer.yaml"), "utf8")).toContain(
    `blazar-installer:${productVersion()}`,
  );
});
