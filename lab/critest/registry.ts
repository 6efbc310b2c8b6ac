/**
 * A registry on loopback that answers pulls of a few images: OCI distribution-spec, its part for pulling.
 *
 * Every registry's name leads here (hosts.toml, `_default`), so an image is found by the last part of its repository.
 * It takes no uploads and knows no users.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { LAYER, type LayerBlob, layoutFiles } from "../images/image-builder.ts";
import { writeTar } from "../images/tar-writer.ts";
import type { ImagesByName, UnnamedImage } from "./test-images.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
/** `/v2/<repository>/<manifests|blobs>/<reference>` */
const PATH = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/;

export class LoopbackRegistry {
  /** Everything by its digest. */
  private readonly blobs = new Map<string, Buffer>();
  /** Digests of manifests, by repository or repository and tag. */
  private readonly manifests = new Map<string, string>();
  /** What was asked for and is not there. */
  readonly missed = new Set<string>();

  private constructor(private readonly server: Server) {}

  static async start(images: ImagesByName): Promise<LoopbackRegistry> {
    const registry = new LoopbackRegistry(
      createServer((request, answer) => registry.answer(request, answer)),
    );
    for (const [name, image] of images) registry.add(name, image);
    registry.server.listen(0, "127.0.0.1");
    await once(registry.server, "listening");
    return registry;
  }

  /** Where it listens: `http://127.0.0.1:1234`. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Writes a containerd's hosts directory by which every registry is this one; returns the TOML that names it. */
  async hostsDirectory(directory: string): Promise<string> {
    const file = join(directory, "_default", "hosts.toml");
    await mkdir(dirname(file), { recursive: true });
    const host = `server = "${this.url}"\n[host."${this.url}"]\n  capabilities = ["pull", "resolve"]\n`;
    await writeFile(file, host);
    return `\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '${directory}'\n`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  private add(name: string, image: UnnamedImage): void {
    const layers = image.layers.map((files): LayerBlob => {
      const content = writeTar(files);
      const digest = this.store(content);
      return { mediaType: LAYER, digest, diffId: digest, size: content.length };
    });
    const files = layoutFiles({ name, ...(image.process && { process: image.process }) }, layers);
    const index = files.find(({ path }) => path === "index.json")?.content ?? "{}";
    const { manifests } = JSON.parse(index.toString()) as { manifests: { digest: string }[] };
    for (const { path, content } of files)
      if (path.startsWith("blobs/sha256/")) this.store(Buffer.from(content ?? ""));
    this.manifests.set(name, manifests[0]?.digest ?? "");
  }

  private store(content: Buffer): string {
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    this.blobs.set(digest, content);
    return digest;
  }

  private answer({ method, url = "" }: IncomingMessage, answer: ServerResponse): void {
    const { pathname } = new URL(url, this.url);
    if (pathname === "/v2/") return void answer.writeHead(200).end();
    const [, repository = "", kind = "", reference = ""] = PATH.exec(pathname) ?? [];
    const name = repository.split("/").at(-1) ?? "";
    const digest = reference.startsWith("sha256:") ? reference : this.tagged(name, reference);
    const content = this.blobs.get(digest ?? "");
    if (digest === undefined || content === undefined) {
      this.missed.add(`${repository}:${reference}`);
      const error = {
        errors: [{ code: "NAME_UNKNOWN", message: `no such image: ${repository}:${reference}` }],
      };
      return void answer.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify(error));
    }
    const type = kind === "manifests" ? MANIFEST : "application/octet-stream";
    answer.writeHead(200, {
      "content-type": type,
      "content-length": content.length,
      "docker-content-digest": digest,
    });
    answer.end(method === "HEAD" ? undefined : content);
  }

  private tagged(name: string, tag: string): string | undefined {
    return this.manifests.get(`${name}:${tag}`) ?? this.manifests.get(name);
  }
}
