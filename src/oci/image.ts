/**
 * Reads the configuration of an image in a tar file: an OCI image layout (image-spec: image-layout.md, config.md), or
 * what `docker save` writes (manifest.json).
 *
 * For `blazar run --image`, which has no containerd. Reads the small JSON documents only. The guest unpacks the layers, so
 * that owners are kept without root on the host. The file is untrusted: everything that is read has a bound.
 */
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { array, nullish, object, type output, safeParse, string, unknown, type ZodMiniType } from "zod/mini";
import { type BlazarError, blazarError, reasonOf } from "../contracts/errors.ts";
import { indexTar, readAt, type TarMember } from "./tar-index.ts";

/** What an image says about the process to run in it. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** "" where the image has none. */
  readonly workingDir: string;
  /** `user`, `uid`, `user:group`, `uid:gid` or "". */
  readonly user: string;
}

const MAX_JSON = 4 << 20;
const MAX_INDEX_DEPTH = 4;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

const strings = nullish(array(string()));
const configSchema = object({
  config: nullish(
    object({
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: nullish(string()),
      User: nullish(string()),
    }),
  ),
});
const platform = nullish(object({ os: nullish(string()), architecture: nullish(string()) }));
const descriptor = object({ digest: string(), platform });
const layoutSchema = object({ manifests: nullish(array(descriptor)), config: nullish(descriptor) });
const dockerSchema = array(object({ Config: string(), Layers: array(unknown()) }));

/** @throws BlazarError `InvalidRootfs` */
export async function readImageConfig(file: string): Promise<ImageConfig> {
  try {
    const handle = await open(file);
    try {
      return await new Archive(handle, await indexTar(handle)).config();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw invalid(file, reasonOf(error), error);
  }
}

/** The command line: Entrypoint, then the user's arguments or, without any, Cmd. */
export function commandOf(config: ImageConfig, args: readonly string[]): string[] {
  return [...config.entrypoint, ...(args.length > 0 ? args : config.cmd)];
}

class Archive {
  constructor(
    private readonly file: FileHandle,
    private readonly members: ReadonlyMap<string, TarMember>,
  ) {}

  async config(): Promise<ImageConfig> {
    const name = this.members.has("index.json") ? await this.ociConfig() : await this.dockerConfig();
    const { config } = await this.json(name, configSchema);
    return {
      env: config?.Env ?? [],
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      workingDir: config?.WorkingDir ?? "",
      user: config?.User ?? "",
    };
  }

  private async ociConfig(): Promise<string> {
    let layout = await this.json("index.json", layoutSchema);
    for (let depth = 0; layout.config === undefined || layout.config === null; depth++) {
      if (depth === MAX_INDEX_DEPTH) throw new Error("its indexes are nested too deeply");
      const chosen = (layout.manifests ?? []).find(isForThisHost);
      if (chosen === undefined) throw new Error(`it has no manifest for linux/${architecture()}`);
      layout = await this.json(blobName(chosen.digest), layoutSchema);
    }
    return blobName(layout.config.digest);
  }

  private async dockerConfig(): Promise<string> {
    if (!this.members.has("manifest.json"))
      throw new Error("it has neither an index.json (OCI layout) nor a manifest.json (docker save)");
    const [image] = await this.json("manifest.json", dockerSchema);
    if (image === undefined) throw new Error("its manifest.json lists no image");
    return image.Config;
  }

  private async json<Schema extends ZodMiniType>(name: string, schema: Schema): Promise<output<Schema>> {
    const { offset, size } = this.find(name);
    if (size > MAX_JSON) throw new Error(`its ${name} takes ${size} bytes`);
    const text = (await readAt(this.file, offset, size)).toString("utf8");
    const result = safeParse(schema, parseJson(text, name));
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    throw new Error(`in its ${name}, ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "wrong shape"}`);
  }

  /** Follows links: some builders store a blob once, with links for its other names. */
  private find(name: string): TarMember {
    let at = name;
    for (let hops = 0; hops < 4; hops++) {
      const member = this.members.get(at);
      if (member === undefined) throw new Error(`it has no ${at}`);
      if (member.link === undefined) return member;
      at = this.members.has(member.link) ? member.link : path.posix.join(path.posix.dirname(at), member.link);
    }
    throw new Error(`${name} is a link to a link to a link`);
  }
}

function isForThisHost({ platform }: output<typeof descriptor>): boolean {
  if (platform === undefined || platform === null) return true;
  return platform.os === "linux" && platform.architecture === architecture();
}

function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

function blobName(digest: string): string {
  const parts = /^([a-z0-9]+):([a-f0-9]+)$/.exec(digest);
  if (parts === null) throw new Error(`"${digest}" is not a digest`);
  return `blobs/${parts[1]}/${parts[2]}`;
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`its ${name} is not JSON: ${reasonOf(cause)}`, { cause });
  }
}

function invalid(file: string, reason: string, cause: unknown): BlazarError {
  const remedy = "give an uncompressed tar of an OCI image layout or of docker save";
  return blazarError("InvalidRootfs", "read the image", reason, { subject: file, remedy, cause });
}
